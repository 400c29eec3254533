"""docs/architecture.md shows the tree as it is: every room, real modules, the real import order."""

import re
from pathlib import Path

import pytest

from tests.support.places import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
README = (ROOT / "README.md").read_text()
PARTS = ("edge", "export", "fleet", "training")
DIAGRAMS = re.findall(r"```mermaid\n(.*?)```", TEXT, re.S)
ORDER = re.findall(r"```\n(__main__\n.*?)```", TEXT, re.S)
STEPS = {"verify | identify": "verify or identify"}


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
        ("LOSSES", "training/losses/distance.py"),
    ):
        assert f"`{name}`" in TEXT
        assert re.search(rf"(?m)^(?:def )?{name}\b", (ROOT / file).read_text())


def test_the_way_of_a_frame_has_every_step_with_its_module() -> None:
    """The steps of the README, in their order, each a box with the module that takes it."""
    way = re.search(r"`(camera -> .*?)`", README, re.S)
    assert way is not None
    steps = [" ".join(step.split()) for step in way[1].split("->")]
    boxes = re.findall(r'\["([\w ]+)<br>([^"]+)"\]', DIAGRAMS[1])
    assert [step for step, _ in boxes] == [STEPS.get(step, step) for step in steps]
    for _, modules in boxes:
        assert all(module.startswith("edge/") for module in modules.split(", "))


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
