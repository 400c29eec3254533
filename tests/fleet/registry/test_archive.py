"""The archive: its owner's only, all of it or nothing, and never another site's."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.archive import read_archive, write_archive
from ostiary.fleet.registry.contents import restore
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from tests.support.fleet.archives import resigned, silent
from tests.support.fleet.people import OLD, fill, template


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three people, one of them revoked, one erasure and one device."""
    registry = Registry(tmp_path / "old.db", who="operator")
    fill(registry, "alice", "bob", "carol", "dave")
    registry.revoke("bob", 2.0)
    registry.erase("dave", 3.0)
    registry.add_device("north-door", 4.0)
    assert write_archive(registry, "hq", tmp_path / "a.jsonl", silent) == 3
    registry.close()
    return tmp_path / "a.jsonl"


def test_an_archive_is_for_its_owner_and_replaces_an_older_one_whole(archive: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    saved = read_archive(archive, "hq", silent)
    assert [p.subject for p, _ in saved.people] == ["alice", "bob", "carol"]
    assert saved.devices == ["north-door"]
    assert [p.name for p in archive.parent.iterdir() if p.name.startswith(".")] == []


def test_a_file_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r.db")
    with pytest.raises(FleetError, match="cannot write"):
        write_archive(registry, "hq", tmp_path / "no" / "a.jsonl", silent)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FleetError, match="cannot write"):
        write_archive(registry, "hq", tmp_path / "folder", silent)
    registry.close()
    assert {p.name for p in tmp_path.iterdir()} == {"r.db", "folder"}


def test_another_sites_people_are_refused(archive: Path) -> None:
    with pytest.raises(FleetError, match="is of site 'hq', but this fleet is of 'plant'"):
        read_archive(archive, "plant", silent)


def test_a_registry_that_is_not_empty_is_not_touched(archive: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "new.db")
    registry.put(Person(subject="erin"), {OLD: Fused(template(1))}, 1.0)
    with pytest.raises(FleetError, match="is not empty"):
        restore(registry, read_archive(archive, "hq", silent), 9.0)
    assert registry.roster.entries() == {"erin": 1}
    registry.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace('"alice"', '"Alice"'), "line 2: 'Alice' is not a subject id"),
        (lambda t: t.replace('"carol"', '"alice"', 1), "line 4: alice is in the archive twice"),
        (lambda t: t.replace('"revision":3', '"revision":1'), "line 4: revision 1 is used twice"),
        (
            lambda t: t.replace('"revision":3', '"revision":7'),
            "line 4: revision 7 is used twice or not within 1 to 6",
        ),
        (lambda t: t.replace('"version":2', '"version":3'), "line 1: not an archive that this"),
        (lambda t: t.replace('"people":3', '"people":4'), "cut short"),
        (
            lambda t: t.replace('"groups":[]', '"groups":["No Group"]', 1),
            "line 2: alice: malformed record",
        ),
        (lambda t: t.replace('"name":""', '"nmae":""', 1), "line 2: .*nmae"),
        (
            lambda t: re.sub(r'"encoders":\["a+"\]', '"encoders":[]', t, count=1),
            "do not fit the person",
        ),
        (lambda t: t.replace('"id":"north-door"', '"id":"North Door"'), "not a subject id"),
        (lambda t: "".join(t.splitlines(keepends=True)[1:]), "line 1: not an archive"),
        (lambda t: t + t.splitlines(keepends=True)[1], "a line after the end"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    archive: Path, change: Callable[[str], str], said: str
) -> None:
    text = archive.read_text()
    changed = change(text)
    assert changed != text
    archive.write_text(resigned(changed))
    with pytest.raises(FleetError, match=said):
        read_archive(archive, "hq", silent)


def test_a_template_that_is_none_is_refused(archive: Path) -> None:
    held = b64encode(template(0).tobytes()).decode()
    text = archive.read_text()
    assert held in text
    for wrong in (np.zeros(8, "<f4").tobytes(), (template(0) * 2).tobytes(), b"abc"):
        archive.write_text(resigned(text.replace(held, b64encode(wrong).decode())))
        with pytest.raises(FleetError, match="line 2: alice"):
            read_archive(archive, "hq", silent)


def test_any_cut_and_any_changed_byte_is_found(archive: Path) -> None:
    whole = archive.read_bytes()

    @settings(deadline=None, max_examples=200)
    @given(st.integers(0, len(whole) - 2), st.integers(1, 255), st.booleans())
    def check(at: int, other: int, cut: bool) -> None:
        broken = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ other]) + whole[at + 1 :]
        archive.write_bytes(broken)
        with pytest.raises(FleetError):
            read_archive(archive, "hq", silent)

    check()
