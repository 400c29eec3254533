"""A registry that is not the newest, or not of this fleet: publishing refuses before it sends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ostiary.edge.roster.record import Index
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.publishing.publish import ForeignRoster, OlderRegistry, Published
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.site.fleet import Fleet
from ostiary.fleet.site.keys import (
    OPERATOR_KEY,
    OPERATOR_PUB,
    SITE_KEY,
    make_operator_key,
    make_site_key,
)
from tests.support.fleet.memory_broker import Kept, enroll
from tests.support.fleet.publishers import assert_equal, publish, publish_changes, pulled

ROSTER = (
    '{"sequence": %d, "digest": "", "complete": true, "subjects": 1, "usable": 1,'
    ' "encoder": "", "coverage": {}, "at": ""}'
)
Publish = Callable[..., Published]


@pytest.fixture
def backup(fleet: Fleet, tmp_path: Path) -> Callable[[], Callable[[], None]]:
    """Saves the whole folder as it is now; what is returned brings it back."""

    def save() -> Callable[[], None]:
        fleet.close()
        shutil.copytree(fleet.folder, tmp_path / "saved")

        def restore() -> None:
            fleet.close()
            shutil.rmtree(fleet.folder)
            shutil.copytree(tmp_path / "saved", fleet.folder)

        return restore

    return save


Backup = Callable[[], Callable[[], None]]


@pytest.mark.parametrize("attempt", [publish, publish_changes])
@pytest.mark.parametrize("gone", ["erased", "revoked", "only-the-indexes-are-left"])
def test_a_restored_backup_does_not_bring_anybody_back_however_much_it_changed_since(
    fleet: Fleet, backup: Backup, attempt: Publish, gone: str
) -> None:
    kept = Kept()
    enroll(fleet, "alice", "bob")
    publish(fleet, kept)
    restore = backup()
    edit = fleet.registry().revoke if gone == "revoked" else fleet.registry().erase
    edit("bob", 2000.0)
    publish_changes(fleet, kept)
    door = pulled(fleet, kept)
    restore()
    # By now our number is above the broker's.
    enroll(fleet, "carol", "dave")
    if gone == "only-the-indexes-are-left":
        del kept.kept[Voice(fleet).topics.head]
    before = dict(kept.kept)
    for _ in range(2):
        with pytest.raises(OlderRegistry, match=r"number 3, but this registry published at most 2"):
            attempt(fleet, kept)
    assert kept.kept == before
    done = publish(fleet, kept, take_over=True)
    assert done.took_over is not None
    assert_equal(fleet, kept)
    door.pull(kept.kept)
    assert door.complete
    # Nobody is asked again.
    fleet.registry().suspend("carol", 3000.0)
    assert not publish_changes(fleet, kept).everything


def test_an_index_of_a_shard_that_the_backup_does_not_know_counts_too(
    fleet: Fleet, backup: Backup
) -> None:
    kept = Kept()
    enroll(fleet, "alice")
    publish(fleet, kept)
    restore = backup()
    voice = Voice(fleet)
    enroll(fleet, "bob")
    publish_changes(fleet, kept)
    restore()
    enroll(fleet, "carol", "dave")
    # All but that index is as the backup left it, or lost.
    listing = [
        topic for topic, payload in kept.kept.items()
        if (index := voice.opened(topic, payload, Index)) and index.sequence == 2
    ]  # fmt: skip
    kept.kept = {listing[0]: kept.kept[listing[0]]}
    with pytest.raises(OlderRegistry, match="number 2"):
        publish(fleet, kept)


@pytest.mark.parametrize("short", [True, False])
def test_what_was_cut_off_in_its_middle_is_from_here(fleet: Fleet, short: bool) -> None:
    kept = Kept()
    enroll(fleet, "alice", "bob")
    publish(fleet, kept)
    enroll(fleet, "carol", "dave")
    attempt = publish_changes if short else publish
    for more in (3, 3, 2, 1):
        kept.most = len(kept.log) + more
        with pytest.raises(BrokerError):
            attempt(fleet, kept)
        # What was sent may be there, and we count further meanwhile.
        fleet.registry().suspend("alice", 2000.0)
        fleet.registry().resume("alice", 2000.0)
    kept.most = None
    publish(fleet, kept)
    assert_equal(fleet, kept)


def test_a_copy_of_the_folder_that_was_published_from_is_from_here(
    fleet: Fleet, backup: Backup
) -> None:
    kept = Kept()
    enroll(fleet, "alice")
    restore = backup()
    publish(fleet, kept)
    restore()
    assert publish(fleet, kept).took_over is None
    assert_equal(fleet, kept)


def test_an_empty_broker_and_a_door_that_is_ahead_of_us(fleet: Fleet, backup: Backup) -> None:
    enroll(fleet, "alice", "bob")
    fleet.registry().add_device("north", 0.0)
    publish(fleet, Kept())
    restore = backup()
    enroll(fleet, "carol")
    restore()
    enroll(fleet, "dave", "erin")
    kept = Kept()
    kept.kept["ostiary/1/hq/device/stranger/roster"] = (ROSTER % 3).encode()
    kept.kept["ostiary/1/hq/device/north/roster"] = (ROSTER % 3).encode()
    with pytest.raises(OlderRegistry, match="number 3, but this registry published at most 2"):
        publish_changes(fleet, kept)
    assert not kept.log
    publish(fleet, kept, take_over=True)
    # None of its records has a number that the door could hold another one by.
    assert min(fleet.registry().roster.entries().values()) > 3


@pytest.mark.parametrize("held", [2, 2**52])
def test_an_empty_broker_and_a_door_that_is_not_ahead_or_lies(fleet: Fleet, held: int) -> None:
    enroll(fleet, "alice", "bob")
    fleet.registry().add_device("north", 0.0)
    publish(fleet, Kept())
    kept = Kept()
    kept.kept["ostiary/1/hq/device/north/roster"] = (ROSTER % held).encode()
    kept.kept["ostiary/1/hq/device/stranger/roster"] = (ROSTER % 900).encode()
    assert publish(fleet, kept).took_over is None


@pytest.mark.parametrize("attempt", [publish, publish_changes])
@pytest.mark.parametrize("key", [SITE_KEY, OPERATOR_KEY])
def test_a_roster_of_other_keys_is_not_wiped_without_a_word(
    fleet: Fleet, attempt: Publish, key: str
) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    fleet.close()
    (fleet.folder / key).unlink()
    (fleet.folder / OPERATOR_PUB).unlink(missing_ok=key == SITE_KEY)
    make = make_site_key if key == SITE_KEY else make_operator_key
    make(fleet.folder / key)
    before = dict(kept.kept)
    with Fleet.open(fleet.folder) as other:
        with pytest.raises(ForeignRoster, match="another operator, or encrypted with another site"):
            attempt(other, kept)
        assert kept.kept == before
        assert publish(other, kept, take_over=True).took_over == 2
        assert_equal(other, kept)


def test_taking_over_also_renumbers_the_erasures_that_wait(fleet: Fleet) -> None:
    """A door with a newer roster than ours would seem to have followed them."""
    enroll(fleet, "alice", "bob", "carol")
    registry = fleet.registry()
    for subject in ("bob", "carol"):
        registry.erase(subject, 2000.0)
    registry.raise_sequence(20)
    assert registry.devices.pending_erasures() == [21, 22]
    assert registry.roster.entries() == {"alice": 23}
    assert (registry.roster.sequence, registry.roster.attempted) == (23, 20)
