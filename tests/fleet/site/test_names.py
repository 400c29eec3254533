"""Names of files that are not UTF-8: printed, reported and written all the same."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.cli.console import print_json
from tests.support.fleet.desk import Desk
from tests.support.places import ROOT


def test_a_report_names_photos_that_are_no_text(desk: Desk, photos: Path, tmp_path: Path) -> None:
    table = Path(os.fsdecode(bytes(tmp_path) + b"/\xff/t.csv"))
    table.parent.mkdir()
    table.write_text("subject,photo\nbob,gone.png\n")
    report = tmp_path / "r.csv"
    said = desk.quiet("enroll", "--csv", table, "--report", report, code=2)
    with report.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert "\\udcff/gone.png" in row["message"]
    assert "\\udcff/gone.png" in str(said["refused"])


def test_json_takes_names_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"\udcff": ["é\udcfe", 1, None]})
    said = msgspec.json.decode(capsys.readouterr().out)
    assert said == {"\\udcff": ["é\\udcfe", 1, None]}


def test_a_name_that_is_no_text_is_printed_all_the_same(desk: Desk, tmp_path: Path) -> None:
    file = os.fsdecode(bytes(tmp_path) + b"/\xff.jsonl")
    command = [sys.executable, "-m", "ostiary.fleet", "export", file, "--fleet", str(desk.folder)]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=strict, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\udcff.jsonl" in done.stdout
    assert Path(file).is_file()
