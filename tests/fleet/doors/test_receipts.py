"""Which device messages confirm an erasure, and how removed doors are treated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostiary.fleet.desk.reembed import encoders_in_use
from ostiary.fleet.doors.receipts import Receipts, receipts
from ostiary.fleet.doors.status import status
from ostiary.fleet.publishing.publish import await_erasure, publish
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.desk import refused, typed
from tests.support.fleet.fake_door import FakeDoor
from tests.support.fleet.memory_broker import ENCODER, enroll


def test_an_erasure_waits_for_every_device_of_the_registry(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice", "bob")
    for name in ("north", "south", "west"):
        live.registry().add_device(name, 0.0)
    sequence = live.registry().erase("alice", 2000.0)
    north, south, west = door("north"), door("south"), door("west")
    north.holds()
    south.holds(sequence - 1)
    west.holds(complete=False)
    assert await_erasure(live, sequence, 0.0) == ["south", "west"]
    assert live.registry().devices.pending_erasures() == [sequence]
    west.holds()

    def confirm(done: int, total: int) -> None:
        # Arrives live: the retained messages were read before.
        if done == 2:
            south.holds()

    assert await_erasure(live, sequence, 20.0, told=confirm) == []
    assert live.registry().devices.pending_erasures() == []


@pytest.mark.parametrize("lie", [{"sequence": 8}, {"digest": "f" * 32}])
def test_a_word_about_another_roster_confirms_no_erasure(
    live: Fleet, door: Callable[..., FakeDoor], lie: dict[str, Any]
) -> None:
    """A door that is ahead of a restored registry, or holds as many changes of another history."""
    enroll(live, "alice", "bob")
    live.registry().add_device("north", 0.0)
    sequence = live.registry().erase("alice", 2000.0)
    north = door("north")
    north.holds(**lie)
    assert await_erasure(live, sequence, 0.0) == ["north"]
    assert status(live).pending_erasures == [sequence]
    # A later sequence of ours confirms too; its digest is not known any more.
    live.registry().suspend("bob", 2000.0)
    live.registry().resume("bob", 2000.0)
    north.holds(sequence + 1, digest="f" * 32)
    assert await_erasure(live, sequence, 0.0) == []
    assert live.registry().devices.pending_erasures() == []


def test_an_erasure_waits_for_a_door_that_was_never_provisioned_until_it_is_taken_away(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice", "bob")
    sequence = live.registry().erase("alice", 2000.0)
    assert receipts(live, sequence, 0.0) == Receipts([], [])
    door("byhand").holds(sequence - 1)
    assert receipts(live, sequence, 0.0) == Receipts(["byhand"], ["byhand"])
    assert status(live).pending_erasures == [sequence]
    taken = ("unprovision", "byhand", "--fleet", live.folder)
    assert "not a device of this fleet" in refused(*taken)
    assert typed(*taken, "--unlisted").code == 0
    assert live.registry().devices.pending_erasures() == [sequence]
    live.registry().add_device("byhand", 0.0)
    assert receipts(live, sequence, 0.0).waiting == ["byhand"]
    live.registry().remove_device("byhand")
    assert receipts(live, sequence, 0.0).waiting == []


def test_a_door_that_is_no_more_is_shown_and_keeps_nobody_behind(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice")
    publish(live)
    gone = door("gone")
    gone.is_online()
    gone.holds(digest="0" * 32)
    assert status(live).behind == ["gone"]
    assert encoders_in_use(live) == {"gone": ENCODER}
    gone.is_online(status="offline")
    found = status(live)
    assert [device.device for device in found.devices] == ["gone"]
    assert found.behind == []
    assert encoders_in_use(live) == {}
    live.registry().add_device("gone", 0.0)
    assert status(live).behind == ["gone"]
    assert encoders_in_use(live) == {"gone": ENCODER}


def test_a_receipt_that_came_when_nobody_waited_is_seen_by_status(
    live: Fleet, door: Callable[..., FakeDoor]
) -> None:
    enroll(live, "alice", "bob")
    live.registry().add_device("north", 0.0)
    live.registry().erase("alice", 2000.0)
    north = door("north")
    north.holds(1)
    assert status(live).pending_erasures
    north.holds()
    assert status(live).pending_erasures == []
