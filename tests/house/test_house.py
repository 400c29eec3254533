"""The house rules: which way imports point, how long a file is, what the wheel and texts say."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

import ostiary
from tests.support.places import ROOT

PACKAGES = ("edge", "export", "fleet", "training")
MAX_LINES = 300
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
ALL_FILES = sorted(
    p for folder in (*PACKAGES, "tests", "scripts", "bench") for p in (ROOT / folder).rglob("*.py")
)

CORE_MAY_USE = {"cv2", "numpy", "simsimd"}


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, at any depth; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "path", [p for p in FILES if "core" in p.parts], ids=lambda p: module_of(p)
)
def test_the_core_uses_values_only(path: Path) -> None:
    """No IO, clock, log, thread or network: none of the modules that have them."""
    ours = {name for name in imports_of(path) if name.startswith("ostiary.")}
    assert all(name.startswith("ostiary.edge.core") for name in ours)
    outside = {name.split(".")[0] for name in imports_of(path)} - {"ostiary"}
    pure = {
        "__future__",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "math",
        "re",
        "types",
        "typing",
    }
    assert outside <= CORE_MAY_USE | pure


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long_and_each_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "a module opens with one sentence"


ALIKE = {"edge/selftest"}
"""Rooms of like things, one check a file: they may be longer."""


@pytest.mark.parametrize(
    "room",
    sorted({p.parent for p in ALL_FILES}),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_room_holds_a_dozen_files_at_most(room: Path) -> None:
    modules = [p for p in room.glob("*.py") if p.stem not in ("__init__", "__main__", "conftest")]
    name = str(room.relative_to(ROOT))
    assert len(modules) <= (8 if name == "edge" else 20 if name in ALIKE else 12)


def test_a_public_class_name_stands_for_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for path in (*FILES, *(ROOT / "bench").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module_of(path))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_except_exception_stands_once_in_the_daemon() -> None:
    broad = [
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") == "Exception")
    ]
    assert broad == ["edge.daemon.loop"]


def test_the_packages_of_the_wheel_are_all_there_are() -> None:
    found = {module_of(p) for p in FILES if p.name == "__init__.py"}
    # setuptools has no types, and stubs for one call would be one more package to install.
    listed: list[str] = importlib.import_module("setuptools").find_packages(
        str(ROOT), include=["ostiary", "ostiary.*"]
    )
    assert {name.removeprefix("ostiary.") for name in listed} == {"ostiary", *found}


def test_the_changelog_opens_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first is not None
    assert first[1] == ostiary.__version__


def test_shell_scripts_parse() -> None:
    # Files: Python may keep its bytecode in a folder beside them.
    here = [p for p in (ROOT / "scripts").iterdir() if p.is_file() and not p.suffix]
    for script in (*here, ROOT / ".ci" / "run"):
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_every_decision_record_is_numbered_and_short() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert records
    for number, record in enumerate(records, 1):
        assert record.name.startswith(f"{number:04d}-")
        assert len(record.read_text().splitlines()) <= 60
