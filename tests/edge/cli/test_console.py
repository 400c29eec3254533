"""What all four programs have in common: their version, and errors that machines can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ostiary import __version__
from tests.support.places import ROOT, ostiary

PROGRAM = """
import typer
from ostiary.edge.cli.console import new_app, out, print_json, run
from ostiary.edge.errors import ConfigError
app = new_app("A program.")
@app.command()
def tell(json: bool = False) -> None:
    print_json(["x" * 1000] * 1000)
@app.command()
def short(json: bool = False) -> None:
    print_json([])
@app.command()
def shown(json: bool = False) -> None:
    out.print("a table")
@app.command()
def wrong(json: bool = False) -> None:
    raise ConfigError("it is wrong", "mend it")
@app.command()
def refused(json: bool = False) -> None:
    raise ConfigError("it is newer", "overwrite it", option="take_over")
@app.command()
def failed(json: bool = False) -> None:
    print_json([])
    raise typer.Exit(1)
run(app)
"""
NO_ROOM = "error: No space left on device (free some space)\n"


@pytest.mark.parametrize("program", ["edge", "export", "fleet", "training"])
def test_every_program_says_its_version(program: str) -> None:
    done = ostiary("--version", program=program)
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


def test_an_error_is_a_line_for_people_and_a_document_for_machines(tmp_path: Path) -> None:
    wanted = ("verify", "--bundle", tmp_path / "nowhere", tmp_path, tmp_path)
    plain = ostiary(*wanted)
    assert plain.stdout == ""
    done = ostiary(*wanted, "--json")
    assert done.returncode == 2
    assert done.stderr == plain.stderr
    told = json.loads(done.stdout)
    assert told["error"].startswith("cannot read manifest.json in the bundle ")
    assert told["hint"].startswith("give the directory")
    assert plain.stderr == f"error: {told['error']} ({told['hint']})\n"


def ended(words: list[str], stdout: int, unbuffered: str, stderr: int) -> tuple[int, str]:
    """The exit code and standard error of a program whose standard output is a descriptor."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], stdout=stdout, stderr=stderr, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("wrong", "error: it is wrong (mend it)\n"),
        ("tell", NO_ROOM),
        ("short", NO_ROOM),
        ("shown", NO_ROOM),
        ("failed", NO_ROOM),
    ],
)
def test_a_full_disk_under_standard_output_is_an_error_like_any_other(
    command: str, told: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        said = ended([command, "--json"], full.fileno(), unbuffered, subprocess.PIPE)
        assert said == (2, told)
        code, _ = ended([command, "--json"], full.fileno(), unbuffered, full.fileno())
        assert code == 2, "where nothing can be said at all, the exit code says it"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("wrong", (2, "error: it is wrong (mend it)\n")),
        ("tell", (1, "")),
        ("short", (1, "")),
        ("shown", (1, "")),
    ],
)
def test_nobody_is_told_of_a_reader_who_went_away(
    command: str, told: tuple[int, str], unbuffered: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert ended([command, "--json"], writing, unbuffered, subprocess.PIPE) == told
    finally:
        os.close(writing)


def test_the_option_of_an_error_is_shown_as_a_flag() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "refused", "--json"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "error: it is newer (overwrite it: --take-over)\n",
    )
    assert json.loads(done.stdout) == {"error": "it is newer", "hint": "overwrite it: --take-over"}
