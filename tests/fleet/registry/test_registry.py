"""The registry: one number a change, sums that fit, nothing lost between two operators."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.roster.record import EMPTY, Hours, Record, shard_names, shard_of, sum_of
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from tests.support.fleet.people import NEW, OLD, fill, naive_sums, template


def test_every_change_is_one_number_more_and_the_subjects_revision(registry: Registry) -> None:
    assert (registry.roster.sequence, registry.roster.published, registry.roster.entries()) == (
        0,
        0,
        {},
    )
    fill(registry, "alice", "bob")
    assert registry.roster.entries() == {"alice": 1, "bob": 2}
    assert registry.suspend("alice", 11.0) == 3
    assert registry.revoke("bob", 12.0) == 4
    assert registry.roster.sequence == 4
    assert registry.roster.changed_since(2) == ["alice", "bob"]
    assert registry.roster.changed_since(3) == ["bob"]


def test_a_person_comes_back_as_put_and_is_published_without_the_name(registry: Registry) -> None:
    hours = (Hours(31, 480, 1080),)
    alice = Person(
        subject="alice", name="Alice Müller", groups=("staff", "cleaners"), valid_from_s=1.0,
        valid_until_s=2e9, schedule=hours,
    )  # fmt: skip
    registry.put(alice, {OLD: Fused(template(1)), NEW: Fused(template(2, 16))}, 10.0)
    found = registry.people.get("alice")
    assert found is not None
    assert (found.name, found.groups, found.schedule) == (alice.name, alice.groups, hours)
    assert (found.valid_from_s, found.valid_until_s) == (1.0, 2e9)
    assert (found.revision, found.enrolled_at_s, found.encoders) == (1, 10.0, (OLD, NEW))
    assert registry.people.all() == [found]
    blobs = {OLD: template(1).tobytes(), NEW: template(2, 16).tobytes()}
    expected = Record("alice", 1, False, blobs, ("staff", "cleaners"), 1.0, 2e9, hours, False)
    assert registry.roster.record("alice") == expected


def test_records_come_in_the_order_asked_for_over_many_chunks(registry: Registry) -> None:
    fill(registry, *(f"p-{n}" for n in range(1203)))
    wanted = [f"p-{n}" for n in range(1202, -1, -1)]
    records = list(registry.roster.records(wanted))
    assert [r.subject for r in records] == wanted
    assert records[0].templates == {OLD: template(1202).tobytes()}
    with pytest.raises(FleetError, match="'nobody' is not enrolled"):
        list(registry.roster.records(["nobody"]))


def test_an_unchanged_person_changes_nothing(registry: Registry) -> None:
    alice = Person(subject="alice", groups=("staff",))
    assert registry.put(alice, {OLD: Fused(template(1))}, 10.0) == 1
    assert registry.put(alice, {OLD: Fused(template(1))}, 99.0) == 1
    assert registry.put(alice, {}, 99.0) == 1
    assert registry.suspend("alice", 1.0) == registry.suspend("alice", 2.0) == 2
    assert registry.resume("alice", 1.0) == registry.resume("alice", 2.0) == 3
    assert registry.add_templates("alice", {OLD: Fused(template(1))}, 3.0) == 3
    assert registry.revoke("alice", 1.0) == registry.revoke("alice", 2.0) == 4
    assert registry.roster.sequence == 4
    assert len(registry.trail.all()) == 4


def test_templates_given_replace_all_and_none_leaves_them(registry: Registry) -> None:
    registry.put(Person(subject="alice"), {OLD: Fused(template(1)), NEW: Fused(template(2))}, 10.0)
    registry.put(Person(subject="alice", groups=("staff",)), {}, 11.0)
    assert set(registry.roster.record("alice").templates) == {OLD, NEW}
    registry.put(Person(subject="alice"), {OLD: Fused(template(3))}, 12.0)
    assert registry.roster.record("alice").templates == {OLD: template(3).tobytes()}
    registry.add_templates("alice", {NEW: Fused(template(4))}, 13.0)
    assert set(registry.roster.record("alice").templates) == {OLD, NEW}


def test_coverage_tells_who_lacks_a_template(registry: Registry) -> None:
    fill(registry, "alice", "bob", "carol", "dave")
    registry.add_templates("bob", {NEW: Fused(template(9))}, 11.0)
    registry.revoke("dave", 12.0)
    assert registry.people.coverage() == {OLD: 3, NEW: 1}
    assert registry.people.lacking(NEW) == ["alice", "carol"]
    (first, *_) = found = registry.people.templates(OLD)
    assert [s for s, _ in found] == ["alice", "bob", "carol"]
    np.testing.assert_array_equal(first[1], template(0)[None])


def test_revoked_leaves_a_tombstone_without_a_template(registry: Registry, tmp_path: Path) -> None:
    fill(registry, "alice")
    registry.revoke("alice", 11.0)
    assert registry.roster.record("alice") == Record("alice", 2, gone=True)
    person = registry.people.get("alice")
    assert person is not None
    assert (person.gone, person.encoders) == (True, ())
    for refused in (registry.suspend, registry.resume):
        with pytest.raises(FleetError, match="revoked"):
            refused("alice", 12.0)
    with pytest.raises(FleetError, match="revoked"):
        registry.add_templates("alice", {OLD: Fused(template(1))}, 12.0)
    assert registry.roster.sequence == 2


def test_who_was_revoked_is_enrolled_again_at_a_new_revision(registry: Registry) -> None:
    fill(registry, "alice")
    registry.revoke("alice", 11.0)
    assert registry.put(Person(subject="alice"), {OLD: Fused(template(5))}, 12.0) == 3
    assert registry.roster.record("alice").templates == {OLD: template(5).tobytes()}
    person = registry.people.get("alice")
    assert person is not None
    assert person.enrolled_at_s == 12.0
    assert [e.what for e in registry.trail.of("alice")] == ["enrolled", "revoked", "enrolled again"]


@pytest.mark.parametrize("name", ["revoke", "suspend", "resume", "erase"])
def test_nothing_is_done_to_somebody_unknown(registry: Registry, name: str) -> None:
    with pytest.raises(FleetError, match="'bob' is not enrolled"):
        getattr(registry, name)("bob", 1.0)
    assert (registry.roster.sequence, registry.trail.all()) == (0, [])


def test_the_head_and_the_indexes_fit_what_is_held(registry: Registry) -> None:
    with pytest.raises(FleetError, match="empty"):
        registry.roster.head(5.0)
    fill(registry, *(f"p-{n}" for n in range(300)))
    registry.revoke("p-3", 11.0)
    registry.erase("p-4", 12.0)
    head = registry.roster.head(77.0)
    assert (head.sequence, head.issued_at_s) == (302, 77.0)
    assert list(head.sums) == naive_sums(registry)
    for name in shard_names():
        if head.sum_of(name) != EMPTY:
            index = registry.roster.index(name)
            assert sum_of(dict(index.entries)) == head.sum_of(name)
            assert list(index.entries) == sorted(index.entries)
    assert registry.roster.index(shard_of("p-3")).sequence >= 301
    assert registry.roster.index(shard_of("p-4")).sequence == 302
    assert registry.roster.changed_shards(300) == sorted({shard_of("p-3"), shard_of("p-4")})


def test_an_index_that_never_was_is_refused(registry: Registry) -> None:
    for shard in ("00", "zz"):
        with pytest.raises(FleetError, match="nobody was ever enrolled in shard"):
            registry.roster.index(shard)


def test_erased_leaves_no_trace_in_the_files(registry: Registry, tmp_path: Path) -> None:
    names = [f"somebody-{n:04d}" for n in range(400)]
    fill(registry, *names)
    registry.put(Person(subject=names[7], name="Carla Unforgotten"), {}, 11.0)
    sought = (names[7].encode(), b"Carla Unforgotten", template(7).tobytes())

    def on_disk() -> list[bool]:
        data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [text in data for text in sought]

    assert on_disk() == [True, True, True]
    sequence = registry.erase(names[7], 12.0)
    assert on_disk() == [False, False, False]
    assert registry.people.get(names[7]) is None
    assert registry.roster.sequence == sequence == 402
    assert registry.devices.pending_erasures() == [402]
    (erasure,) = registry.devices.erasures()
    assert erasure.shard == shard_of(names[7])
    last = registry.trail.all()[-1]
    assert (last.what, last.subject, last.sequence, last.who) == ("erased", None, 402, "operator")
    assert len(registry.trail.all()) == 400
    registry.settle_erasure(402)
    assert registry.devices.pending_erasures() == []


def test_the_trail_says_who_did_what_when(registry: Registry) -> None:
    fill(registry, "alice")
    registry.suspend("alice", 20.0)
    first, second = registry.trail.of("alice")
    assert (first.at_s, first.who, first.what) == (10.0, "operator", "enrolled")
    assert (second.at_s, second.what, second.sequence) == (20.0, "suspended", 2)
    assert registry.trail.of("bob") == []


def test_devices_and_what_was_published_are_kept(registry: Registry, tmp_path: Path) -> None:
    registry.add_device("south-door", 1.0)
    registry.add_device("north-door", 1.0)
    registry.add_device("north-door", 2.0)
    registry.set_published(7)
    again = Registry(tmp_path / "r.db")
    assert (again.devices.provisioned(), again.roster.published) == (
        ["north-door", "south-door"],
        7,
    )
    again.remove_device("north-door")
    again.close()
    assert registry.devices.provisioned() == ["south-door"]
    with pytest.raises(FleetError, match="not a subject id"):
        registry.add_device("North Door", 1.0)


def test_a_registry_from_a_backup_is_numbered_above_what_devices_saw(registry: Registry) -> None:
    fill(registry, "alice", "bob")
    registry.revoke("alice", 11.0)
    registry.raise_sequence(1000)
    assert registry.roster.entries() == {"bob": 1001, "alice": 1002}
    assert registry.roster.sequence == 1002
    assert list(registry.roster.head(0.0).sums) == naive_sums(registry)
    assert registry.roster.index("00").sequence == 1002
    registry.raise_sequence(5)
    assert registry.roster.entries() == {"bob": 1003, "alice": 1004}


def test_an_empty_registry_too_is_numbered_above(registry: Registry) -> None:
    registry.raise_sequence(1000)
    assert registry.roster.head(1.0).sequence == 1001


@pytest.mark.parametrize(
    ("person", "templates", "said"),
    [
        (Person(subject="Alice"), {OLD: Fused(template(1))}, "not a subject id"),
        (Person(subject="a", groups=("Staff!",)), {OLD: Fused(template(1))}, "regex"),
        (Person(subject="a", groups=("x", "x")), {OLD: Fused(template(1))}, "named twice"),
        (Person(subject="a", valid_from_s=5.0, valid_until_s=5.0), {}, "not after"),
        (Person(subject="a", name="x" * 201), {}, "printable"),
        (Person(subject="a", name="x\n"), {}, "printable"),
        (Person(subject="a"), {"short": Fused(template(1))}, "regex"),
        (Person(subject="a"), {OLD: Fused(template(1) * 2)}, "unit length"),
        (Person(subject="a"), {OLD: Fused(template(1)[None])}, "unit length"),
        (Person(subject="a"), {OLD: Fused(template(1) * np.float32("nan"))}, "unit length"),
        (Person(subject="a"), {OLD: Fused(template(1), -1)}, "int"),
        (Person(subject="a", schedule=(Hours(0, 0, 1),)), {}, "int"),
    ],
)
def test_what_a_device_would_refuse_is_never_written(
    registry: Registry, person: Person, templates: dict[str, Fused], said: str
) -> None:
    good = (Person(subject="good"), {OLD: Fused(template(1))})
    with pytest.raises(FleetError, match=said):
        registry.put_many([good, (person, templates)], 1.0)
    assert (registry.roster.sequence, registry.people.all(), registry.trail.all()) == (0, [], [])


def test_erased_leaves_no_copy_in_pages_that_were_moved(registry: Registry, tmp_path: Path) -> None:
    """Rows of uneven length that grow split pages, and a split leaves copies of what it moves:
    without the database being written anew, one of these ids is still to be found."""
    chance = random.Random(27)
    names = [f"{chance.getrandbits(40):010x}-{'x' * chance.randint(0, 40)}" for _ in range(400)]
    people = [Person(subject=s, name="N" * chance.randint(0, 150)) for s in names]
    registry.put_many([(person, {}) for person in people], 1.0)
    for name in names:
        if chance.random() < 0.5:
            person = Person(subject=name, name="M" * chance.randint(0, 190))
            registry.put(person, {}, 2.0)
    found = []
    for name in names[:60]:
        registry.erase(name, 3.0)
        found += [name for path in tmp_path.iterdir() if name.encode() in path.read_bytes()]
    assert found == []
