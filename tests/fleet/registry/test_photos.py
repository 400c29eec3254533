"""How many photos a template was made from, and the consent to learning, in the registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.adapters.storage.sqlite import connect
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.archive import read_archive, write_archive
from ostiary.fleet.registry.contents import restore
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.registry.schema import MIGRATIONS
from tests.support.fleet.archives import resigned, silent
from tests.support.fleet.people import NEW, OLD, fill, template

Line = dict[str, Any]


def test_the_number_of_photos_goes_with_the_template(registry: Registry) -> None:
    both = {OLD: Fused(template(1), 2), NEW: Fused(template(2), 300)}
    registry.put(Person(subject="alice"), both, 10.0)
    alice = registry.people.known("alice")
    assert (alice.photos, alice.one_photo, alice.uncounted) == ({OLD: 2, NEW: 255}, False, False)
    assert registry.people.all() == [alice]
    assert registry.roster.record("alice").photos == {OLD: 2, NEW: 255}
    registry.put(Person(subject="alice", groups=("staff",)), {}, 11.0)
    assert registry.roster.record("alice").photos == {OLD: 2, NEW: 255}
    registry.put(Person(subject="alice"), {OLD: Fused(template(3), 1)}, 12.0)
    registry.add_templates("alice", {NEW: Fused(template(4))}, 13.0)
    alice = registry.people.known("alice")
    assert (alice.photos, alice.one_photo, alice.uncounted) == ({OLD: 1}, True, True)
    assert registry.roster.record("alice").photos == {OLD: 1}
    registry.revoke("alice", 14.0)
    alice = registry.people.known("alice")
    assert (alice.photos, alice.one_photo, alice.uncounted) == ({}, False, False)


def test_a_number_that_becomes_known_is_a_change(registry: Registry) -> None:
    """The template stays bit for bit; devices must still be told."""
    assert registry.put(Person(subject="alice"), {OLD: Fused(template(1))}, 10.0) == 1
    assert registry.put(Person(subject="alice"), {OLD: Fused(template(1), 2)}, 11.0) == 2
    assert registry.put(Person(subject="alice"), {OLD: Fused(template(1), 2)}, 12.0) == 2
    assert registry.add_templates("alice", {OLD: Fused(template(1), 3)}, 13.0) == 3
    assert registry.roster.record("alice").photos == {OLD: 3}


def test_consent_is_recorded_with_who_and_when_and_never_outlives_a_revocation(
    registry: Registry,
) -> None:
    alice = {OLD: Fused(template(1), 1)}
    registry.put(Person(subject="alice", learns=True), alice, 10.0)
    assert registry.people.known("alice").learns
    assert registry.roster.record("alice").learns
    registry.put(Person(subject="alice", learns=True, groups=("staff",)), {}, 11.0)
    registry.put(Person(subject="alice", groups=("staff",)), {}, 12.0)
    assert not registry.roster.record("alice").learns
    registry.put(Person(subject="alice", learns=True), {}, 13.0)
    registry.revoke("alice", 14.0)
    assert not registry.roster.record("alice").learns
    registry.put(Person(subject="alice"), alice, 15.0)
    assert not registry.roster.record("alice").learns
    said = [(e.at_s, e.what, e.who) for e in registry.trail.of("alice") if "consent" in e.what]
    assert said == [
        (10.0, "consent to learning recorded", "operator"),
        (12.0, "consent to learning withdrawn", "operator"),
        (13.0, "consent to learning recorded", "operator"),
    ]


def test_a_registry_from_before_photos_were_counted_is_opened(tmp_path: Path) -> None:
    older = connect(tmp_path / "r.db", MIGRATIONS[:1])
    older.execute(
        "INSERT INTO person VALUES"
        " ('alice', 'fd', 1, 0, 'Alice', '[\"staff\"]', NULL, NULL, '[]', 0, 9.0)"
    )
    older.execute("INSERT INTO template VALUES ('alice', ?, ?)", (OLD, template(1).tobytes()))
    older.execute("UPDATE counter SET value = 1 WHERE name = 'sequence'")
    older.close()
    registry = Registry(tmp_path / "r.db")
    alice = registry.people.known("alice")
    assert (alice.encoders, alice.photos, alice.learns) == ((OLD,), {}, False)
    assert (alice.one_photo, alice.uncounted) == (False, True)
    record = registry.roster.record("alice")
    assert (record.templates, record.photos) == ({OLD: template(1).tobytes()}, {})
    assert registry.put(Person(subject="alice"), {OLD: Fused(template(1), 2)}, 10.0) == 2
    assert registry.roster.record("alice").photos == {OLD: 2}
    registry.close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Alice with two photos and consent, bob with an unknown number, carol revoked."""
    registry = Registry(tmp_path / "old.db", who="operator")
    fill(registry, "bob", "carol")
    registry.put(Person(subject="alice", learns=True), {OLD: Fused(template(5), 2)}, 1.0)
    registry.revoke("carol", 2.0)
    write_archive(registry, "hq", tmp_path / "a.jsonl", silent)
    registry.close()
    return tmp_path / "a.jsonl"


def restored(archive: Path) -> dict[str, Person]:
    """Everybody in a new registry that was filled from an archive, by subject."""
    registry = Registry(archive.with_suffix(".db"))
    restore(registry, read_archive(archive, "hq", silent), 9.0)
    found = {person.subject: person for person in registry.people.all()}
    registry.close()
    return found


def test_an_archive_keeps_photos_and_consent(archive: Path) -> None:
    found = restored(archive)
    assert {s: (p.photos, p.learns) for s, p in found.items()} == {
        "alice": ({OLD: 2}, True),
        "bob": ({}, False),
        "carol": ({}, False),
    }


def rewritten(archive: Path, change: Callable[[Line], object]) -> None:
    """Change every line of an archive, and make its end fit again."""
    lines = [json.loads(text) for text in archive.read_text().splitlines()]
    for line in lines:
        change(line)
    archive.write_text(resigned("".join(json.dumps(line) + "\n" for line in lines)))


def as_version_1(line: Line) -> None:
    """A line as it was before photos were counted."""
    if "version" in line:
        assert line["version"] == 2
        line["version"] = 1
    for field in ("photos", "learns"):
        line.get("person", {}).pop(field, None)


def test_an_archive_from_before_photos_were_counted_is_read(archive: Path) -> None:
    rewritten(archive, as_version_1)
    found = restored(archive)
    assert found["alice"].encoders == (OLD,)
    assert {(p.learns, tuple(p.photos)) for p in found.values()} == {(False, ())}


@pytest.mark.parametrize(
    ("photos", "said"),
    [
        ({NEW: 1}, "alice: a number of photos without its template"),
        ({OLD: 0}, "photos"),
        ({OLD: 256}, "photos"),
        ({OLD: "2"}, "photos"),
    ],
)
def test_a_wrong_number_of_photos_in_an_archive_is_named(
    archive: Path, photos: dict[str, object], said: str
) -> None:
    def change(line: Line) -> None:
        if line.get("person", {}).get("subject") == "alice":
            line["person"]["photos"] = photos

    rewritten(archive, change)
    with pytest.raises(FleetError, match=rf"line 2: .*{said}"):
        read_archive(archive, "hq", silent)
