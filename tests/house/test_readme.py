"""README and quickstart are true: the README is short and names each reason, profiles load."""

import re
from pathlib import Path

import pytest

from ostiary.edge.config import load_config
from ostiary.edge.core.types import Reason
from tests.support.documented import documents
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text()
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text()
MAX_WORDS = 900
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")


def test_the_readme_is_one_screen() -> None:
    assert len(README.split()) <= MAX_WORDS


def test_the_profiles_of_the_quickstart_load(tmp_path: Path) -> None:
    main, claims, broker = re.findall(r"```toml\n(.*?)```", QUICKSTART, re.S)
    verify = main.replace('"identify"  ', '"verify"')
    assert verify != main
    path = tmp_path / "door.toml"
    for text in (main, verify + claims, verify + claims + broker):
        path.write_text(text)
        assert load_config(path).device.id == "north-door"


def test_it_explains_every_reason() -> None:
    (table,) = (part for part in README.split("\n\n") if part.startswith("| reason"))
    assert set(re.findall(r"`([a-z-]+)`", table)) == {reason.value for reason in Reason}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(path: Path) -> None:
    for name, heading in LINK.findall(path.read_text()):
        target = path.parent / name if name else path
        assert target.exists(), name
        if heading:
            titles = re.findall(r"(?m)^#+ (.+)$", target.read_text())
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{name}#{heading}"
