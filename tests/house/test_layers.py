"""Which way imports point: import-linter's contracts hold, and a wrong import breaks them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = ("edge", "export", "fleet", "training")
PARTS, ROOMS = "The workstation and the operator", "The rooms of the device"
SHARED, CIRCLES = "What training shares with export", "No circles between rooms"
"""How the contracts' names begin."""


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the `ostiary` below this folder, and of no other."""
    program = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports(no_cache=True))"
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The four packages as they are, to be broken."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.json", "profiles")
        )
    shutil.copytree(ROOT / "ostiary", tmp_path / "ostiary", symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_point_one_way(copy: Path) -> None:
    for root in (ROOT, copy):
        done = lint(root)
        assert done.returncode == 0, done.stdout
        assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("edge/core/rules/policy.py", "ostiary.edge.wire", ROOMS),
        ("edge/adapters/claims.py", "ostiary.edge.runtime.bundle", ROOMS),
        ("edge/vision/pipeline.py", "ostiary.edge.remote.mailbox", ROOMS),
        ("edge/daemon/loop.py", "ostiary.export.bundle.build", PARTS),
        ("fleet/site/keys.py", "ostiary.export.bundle.signing", PARTS),
        ("export/faces/crops.py", "ostiary.training.data.photos", PARTS),
        ("training/data/photos.py", "ostiary.export.bundle.signing", SHARED),
        ("export/plan/options.py", "ostiary.export.bundle.build", CIRCLES),
        ("fleet/registry/person.py", "ostiary.fleet.registry.registry", CIRCLES),
    ],
)
def test_a_wrong_import_breaks_its_contract(
    copy: Path, importer: str, imported: str, contract: str
) -> None:
    with (copy / importer).open("a") as file:
        file.write(f"\nimport {imported}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    assert re.search(r"[1-9] broken", done.stdout)
    assert re.search(rf"^{contract}.* BROKEN", done.stdout, re.M), done.stdout


def test_a_room_that_no_layer_names_breaks_the_contract(copy: Path) -> None:
    (copy / "edge" / "attic.py").write_text('"""A file that nobody has placed."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "attic" in done.stdout
