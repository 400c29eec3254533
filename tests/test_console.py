"""What all four programs have in common: their version, and errors that machines can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from places import ostiary

import edge


@pytest.mark.parametrize("program", ["edge", "export", "fleet", "training"])
def test_every_program_says_its_version(program: str) -> None:
    done = ostiary("--version", program=program)
    assert (done.returncode, done.stdout) == (0, f"{edge.__version__}\n")


def test_an_error_is_a_line_for_people_and_a_document_for_machines(tmp_path: Path) -> None:
    wanted = ("verify", "--bundle", tmp_path / "nowhere", tmp_path, tmp_path)
    plain = ostiary(*wanted)
    assert plain.stdout == ""
    done = ostiary(*wanted, "--json")
    assert done.returncode == 2
    assert done.stderr == plain.stderr
    told = json.loads(done.stdout)
    assert told["error"].startswith("no readable manifest.json in the bundle ")
    assert told["hint"].startswith("give the directory")
    assert plain.stderr == f"error: {told['error']} ({told['hint']})\n"
