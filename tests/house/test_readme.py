"""The README is true: its profiles load, its commands exist, its reasons are all there are."""

import re
from pathlib import Path

import pytest

from ostiary.edge.__main__ import app as ostiary
from ostiary.edge.config import load_config
from ostiary.edge.core.types import Reason
from ostiary.export.__main__ import app as ostiary_export
from ostiary.fleet.__main__ import app as ostiary_fleet
from ostiary.training.__main__ import app as ostiary_train
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_its_profiles_load(tmp_path: Path) -> None:
    main, claims = blocks("toml")
    path = tmp_path / "door.toml"
    for text in (main, main.replace('"identify"  ', '"verify"') + claims):
        path.write_text(text)
        assert load_config(path).device.id == "north-door"


@pytest.mark.parametrize(
    ("program", "app"),
    [
        ("ostiary", ostiary),
        ("ostiary-export", ostiary_export),
        ("ostiary-fleet", ostiary_fleet),
        ("ostiary-train", ostiary_train),
    ],
)
def test_every_command_it_names_exists(program: str, app) -> None:
    known = {c.name or c.callback.__name__ for c in app.registered_commands}
    known |= {group.name or group.typer_instance.info.name for group in app.registered_groups}
    code = "\n".join([*blocks("sh"), *re.findall(r"`([^`]+)`", README)])
    named = set(re.findall(rf"^{program} ([a-z0-9-]+)", code, re.M))
    assert named
    assert named <= known


def test_every_option_it_names_exists() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "edge" / "cli").glob("*.py"))
    code += "\n".join(p.read_text() for p in (ROOT / "export" / "cli").glob("*.py"))
    code += "\n".join(p.read_text() for p in (ROOT / "fleet" / "cli").glob("*.py"))
    code += "\n".join(p.read_text() for p in (ROOT / "training" / "cli").glob("*.py"))
    code += "\n".join(p.read_text() for p in (ROOT / "bench").glob("*.py"))
    code += (ROOT / "scripts" / "demo.py").read_text()
    for option in set(re.findall(r"--([a-z-]+)", README)) - {"help"}:
        name = option.replace("-", "_")
        assert f"--{option}" in code or re.search(rf"\b{name}: ", code), option


def test_it_explains_every_reason() -> None:
    (table,) = (part for part in README.split("\n\n") if part.startswith("| reason"))
    assert set(re.findall(r"`([a-z-]+)`", table)) == {reason.value for reason in Reason}


def test_the_files_it_names_are_there() -> None:
    for name in re.findall(r"\]\(([^)]+)\)|\./(scripts/[a-z]+)", README):
        assert (ROOT / (name[0] or name[1])).exists()
