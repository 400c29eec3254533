"""docs/architecture.md shows the tree as it is: every room, real modules, the real import order."""

import re
from pathlib import Path

import pytest

from tests.support.places import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PARTS = ("edge", "export", "fleet", "training")
DIAGRAMS = re.findall(r"```mermaid\n(.*?)```", TEXT, re.S)
ORDER = re.findall(r"```\n(__main__\n.*?)```", TEXT, re.S)


def rooms(part: str) -> set[str]:
    """The folders of a part that hold modules."""
    found = {path.parent for path in (ROOT / part).rglob("__init__.py")}
    return {str(path.relative_to(ROOT)) for path in found} - {part}


def table(part: str) -> list[str]:
    """The rooms that the part's table names, in order."""
    section = TEXT.split(f"### {part}: ")[1].split("\n#")[0]
    return re.findall(r"(?m)^\| `([\w/]+)` \|", section)


@pytest.mark.parametrize("part", PARTS)
def test_every_room_has_its_sentence(part: str) -> None:
    named = table(part)
    assert len(named) == len(set(named))
    assert set(named) == rooms(part)


def test_every_path_that_it_names_is_there() -> None:
    top = "edge|export|fleet|training|bench|scripts|tests|firmware_configs|systemd|ostiary"
    named = set(re.findall(rf"(?<![\w/.-])(?:{top})/[\w./]*", TEXT))
    assert len(named) > 80
    missing = {path for path in named if not (ROOT / path.rstrip(".")).exists()}
    assert not missing


def test_every_loose_module_of_the_device_is_named() -> None:
    loose = {f"edge/{path.name}" for path in (ROOT / "edge").glob("*.py")} - {"edge/__init__.py"}
    assert {path for path in loose if f"`{path}`" not in TEXT} == set()


def test_the_names_it_gives_are_in_their_files() -> None:
    for name, file in (
        ("make_door", "edge/adapters/door/base.py"),
        ("open_source", "edge/adapters/camera/sources.py"),
        ("check_url", "edge/adapters/camera/sources.py"),
        ("CHECKS", "edge/selftest/checks.py"),
        ("LOSSES", "training/losses/by_name.py"),
        ("LOSSES", "training/tasks/compare.py"),
        ("NEED_THE_BUNDLE", "edge/selftest/checks.py"),
        ("BACKENDS", "edge/selftest/models.py"),
        ("FORMS", "edge/adapters/camera/sources.py"),
        ("FORMS", "edge/adapters/claims.py"),
        ("ClaimSource", "edge/adapters/claims.py"),
        ("LIVE", "edge/sections.py"),
        ("_anchored_url", "edge/files.py"),
        ("BundleSection", "edge/sections.py"),
        ("DoorSection", "edge/sections.py"),
        ("Door", "edge/adapters/door/base.py"),
        ("LogDoor", "edge/adapters/door/base.py"),
        ("ProgramDoor", "edge/adapters/door/program.py"),
        ("MAX_FACES", "edge/vision/pipeline.py"),
    ):
        assert f"`{name}`" in TEXT
        assert re.search(rf"(?m)^(?:def |class )?{name}\b", (ROOT / file).read_text())


def test_the_parts_are_drawn() -> None:
    for part in PARTS:
        assert f"<br>{part}/" in DIAGRAMS[0]
    for name in ("Workstation", "Operator", "MQTT broker", "Each door"):
        assert name in DIAGRAMS[0]


def test_the_import_order_is_the_contract() -> None:
    contract = (ROOT / "pyproject.toml").read_text().split('containers = ["ostiary.edge"]')[1]
    layers = re.findall(r'(?m)^    "([\w |]+)",$', contract.split("\n]")[0])
    assert ORDER[0].splitlines() == layers


def test_the_tests_mirror_the_rooms() -> None:
    """As the page says: a folder of tests/ has the name of a room."""
    for part in PARTS:
        for folder in (ROOT / "tests" / part).rglob("*/"):
            room = Path(part, folder.relative_to(ROOT / "tests" / part))
            if folder.is_dir() and any(folder.glob("test_*.py")):
                assert (ROOT / room).is_dir(), room


def test_rooms_without_a_folder_of_tests_are_named() -> None:
    """CONTRIBUTING says where the tests of each such room are, and names no room that has some."""
    named = re.search(r"have no folder of their own: (.*?)\n\n", CONTRIBUTING, re.S)
    assert named is not None
    paths = set(re.findall(r"`([\w/]+)`", named[1]))
    rest = {room for part in PARTS for room in rooms(part) if not has_tests(f"tests/{room}")}
    assert {path for path in paths if not path.startswith("tests/")} == rest
    assert all(has_tests(path) for path in paths if path.startswith("tests/"))


def has_tests(folder: str) -> bool:
    return any((ROOT / folder).rglob("test_*.py"))
