"""The house rules: which way imports point, how long a file is, what the wheel and texts say."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from places import ROOT
from setuptools import find_packages

import ostiary

PACKAGES = ("edge", "export", "fleet", "training")
MAX_LINES = 300
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
ALL_FILES = sorted(
    p for folder in (*PACKAGES, "tests", "scripts", "bench") for p in (ROOT / folder).rglob("*.py")
)

VALUES = {"edge.core", "edge.errors"}
"""What every inner room may import of ours."""
ALLOWED = {
    "edge.core": {"edge.core"},
    "edge.errors": set(),
    "edge.files": set(),
    "edge.wire": VALUES,
    "edge.config": VALUES,
    "edge.roster": VALUES | {"edge.roster"},
    "edge.mailbox": VALUES | {"edge.adapters.mqtt", "edge.roster", "edge.wire"},
    "edge.suspicion": {"edge.mailbox"},
    "edge.members": VALUES | {"edge.roster"},
    "edge.restoring": VALUES
    | {"edge.adapters", "edge.mailbox", "edge.members", "edge.roster", "edge.wire"},
    "edge.syncer": VALUES
    | {"edge.adapters", "edge.mailbox", "edge.members", "edge.restoring", "edge.roster"}
    | {"edge.suspicion", "edge.wire"},
    "edge.runtime": VALUES | {"edge.runtime"},
    "edge.adapters": VALUES | {"edge.adapters", "edge.config"},
    "edge.annotate": VALUES | {"edge.files"},
    "edge.pipeline": VALUES | {"edge.runtime"},
    "edge.enrollment": VALUES | {"edge.pipeline"},
    "edge.models": VALUES | {"edge.config", "edge.pipeline", "edge.runtime", "edge.succession"},
    "edge.succession": set(),
    "edge.many": VALUES | {"edge.adapters.photos", "edge.pipeline", "edge.runtime"},
    "edge.moment": VALUES,
    "edge.observer": VALUES | {"edge.config", "edge.moment", "edge.pipeline"},
    "edge.follower": VALUES
    | {"edge.adapters.store", "edge.observer", "edge.reporter", "edge.runtime.bundle"},
    "edge.reporter": {"edge.adapters.mqtt", "edge.core", "edge.wire"},
    "edge.housekeeping": VALUES
    | {"edge.adapters.journal", "edge.config", "edge.follower", "edge.reporter"},
    "edge.secret_file": {"edge.errors", "edge.files"},
    "edge.state_dir": {"edge.errors"},
    "edge.stopping": {"edge.adapters.systemd"},
    "edge.compare": VALUES | {"edge.runtime"},
    "edge.install": VALUES | {"edge.files", "edge.runtime"},
    "edge.refusals": {"edge.reporter"},
    "edge.capture": VALUES | {"edge.config", "edge.enrollment", "edge.pipeline"},
    "edge.commander": VALUES
    | {
        "edge.adapters.mqtt",
        "edge.adapters.nonces",
        "edge.capture",
        "edge.recorder",
        "edge.refusals",
        "edge.reporter",
        "edge.roster",
        "edge.wire",
    },
    "edge.recorder": VALUES | {"edge.adapters", "edge.reporter", "edge.wire"},
}
FOR_TRAINING = {
    f"export.{room}"
    for room in ("audit", "biases", "calibrate", "charts", "crops", "encoder", "equalise", "gate")
    + ("graph", "memo", "options", "page", "pairs", "quantize", "ranges", "recipe", "results")
    + ("running", "sources", "table")
}
"""Rooms of export that training stands on: the faces, the pairs, the graph and int8 as they are
exported. What a training measures by other means would not be what the door meets."""
SEE_ALL_OF_EDGE = ("edge.daemon", "edge.remote", "edge.cli", "edge.selftest", "edge.__main__")
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
    # The table below leaves the root out.
    return {name.removeprefix("ostiary.") for name in found}


def within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def wrong_imports(module: str, imported: set[str]) -> list[str]:
    """The imports of a module that point the wrong way."""
    ours = {name for name in imported if name.split(".")[0] in PACKAGES}
    wrong = [name for name in ours if name.split(".")[0] not in ("edge", module.partition(".")[0])]
    if within(module, {"training"}):
        wrong = [name for name in wrong if not _allowed(name, FOR_TRAINING)]
    if not within(module, {"edge"}):
        return wrong
    if within(module, set(SEE_ALL_OF_EDGE)) or module == "edge":
        return wrong
    room = next(room for room in sorted(ALLOWED, key=len, reverse=True) if within(module, {room}))
    inside = ours - set(wrong) - {"edge"}
    return wrong + [name for name in inside if not _allowed(name, ALLOWED[room])]


def _allowed(name: str, rooms: set[str]) -> bool:
    # `from edge.core import policy` also counts as edge.core: a room's parent is no import of it.
    return within(name, rooms) or any(room.startswith(f"{name}.") for room in rooms)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_one_way(path: Path) -> None:
    assert wrong_imports(module_of(path), imports_of(path)) == []


def test_a_wrong_import_would_be_found() -> None:
    assert wrong_imports("edge.core.policy", {"edge.wire"}) == ["edge.wire"]
    assert wrong_imports("edge.adapters.door", {"edge.runtime.bundle"}) == ["edge.runtime.bundle"]
    assert wrong_imports("edge.daemon", {"export.build"}) == ["export.build"]
    assert wrong_imports("edge.wire", {"fleet.home"}) == ["fleet.home"]
    assert wrong_imports("fleet.home", {"edge.config", "fleet.keys"}) == []
    assert wrong_imports("fleet.keys", {"export.signing"}) == ["export.signing"]
    assert wrong_imports("export.build", {"fleet.home"}) == ["fleet.home"]
    assert wrong_imports("training.data", {"export.crops", "training.augment"}) == []
    assert wrong_imports("training.data", {"export.signing"}) == ["export.signing"]
    assert wrong_imports("export.crops", {"training.data"}) == ["training.data"]
    assert wrong_imports("edge.core.verifier", {"training.verifier"}) == ["training.verifier"]
    assert wrong_imports("edge.pipeline", {"edge.adapters.mqtt"}) == ["edge.adapters.mqtt"]


@pytest.mark.parametrize(
    "path", [p for p in FILES if "core" in p.parts], ids=lambda p: module_of(p)
)
def test_the_core_uses_values_only(path: Path) -> None:
    """No IO, clock, log, thread or network: none of the modules that have them."""
    outside = {name.split(".")[0] for name in imports_of(path)} - {"edge"}
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


def test_except_exception_stands_once_in_the_daemon() -> None:
    broad = [
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") == "Exception")
    ]
    assert broad == ["edge.daemon"]


def test_the_packages_of_the_wheel_are_all_there_are() -> None:
    found = {module_of(p) for p in FILES if p.name == "__init__.py"}
    listed = find_packages(str(ROOT), include=["ostiary", "ostiary.*"])
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
