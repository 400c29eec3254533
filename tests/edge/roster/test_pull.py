"""What is requested next: windows that grow and shrink, losses, and delays between requests."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ostiary.edge.roster.pull import (
    AGAIN_S,
    FIRST_WINDOW,
    INDEX,
    INDEXES,
    LARGEST_WINDOW,
    LEAST_WINDOW,
    LONGEST_S,
    QUIET_S,
    SELDOM_S,
    SOON_S,
    Pull,
    Reminder,
)
from ostiary.edge.roster.record import Head, shard_of
from ostiary.edge.roster.replica import ReplicaState
from tests.support.roster.puller import Device


def test_nothing_is_asked_without_a_head_or_with_all_proven() -> None:
    assert Pull().next(ReplicaState(), [], 0.0).ask == []
    device = Device(["alice"])
    device.until_complete()
    assert device.next() == []


def test_first_the_index_then_the_records() -> None:
    device = Device(["alice"])
    shard = shard_of("alice")
    (index,) = device.next()
    assert (index.shard, index.subjects, index.whole) == (shard, (), False)
    assert device.next() == [], "once"
    device.bring(index)
    (records,) = device.next()
    assert (records.shard, records.subjects, records.whole) == (shard, ("alice",), True)


def test_few_of_many_are_asked_for_one_by_one_and_most_as_a_whole() -> None:
    mates = [s for n in range(9000) if shard_of(s := f"s{n}") == "00"][:20]
    device = Device(mates)
    device.indexes["00"] = device.roster["00"]
    device.held["00"] = dict.fromkeys(mates[:17], 1)
    assert sorted(want.subjects for want in device.next()) == sorted((s,) for s in mates[17:])
    device = Device(mates)
    device.indexes["00"] = device.roster["00"]
    device.held["00"] = dict.fromkeys(mates[:9], 1)
    (want,) = device.next()
    assert (want.whole, want.expected) == (True, 20)


def test_no_more_is_under_way_than_the_window_and_it_doubles_while_all_comes() -> None:
    device = Device(f"s{number}" for number in range(3000))
    windows = []
    for _ in range(200):
        asked = device.next()
        windows.append(device.pull.under_way)
        # One index or shard may be larger than what room is left, so that nothing is starved.
        for want in asked:
            device.bring(want)
        device.now += 0.01
    assert device.complete
    assert windows[0] <= FIRST_WINDOW
    assert FIRST_WINDOW < max(windows) <= LARGEST_WINDOW


def test_indexes_whose_records_would_overrun_the_window_wait() -> None:
    device = Device(f"s{number}" for number in range(256 * 20))
    first = device.next()
    assert all(not want.subjects for want in first)
    assert sum(len(device.roster[want.shard]) for want in first) <= FIRST_WINDOW
    device = Device(f"s{number}" for number in range(200))
    assert len(device.next()) <= FIRST_WINDOW // INDEXES


def test_after_a_silence_what_is_open_is_left_and_less_is_asked_for() -> None:
    device = Device(f"s{number}" for number in range(3000))
    asked = device.next()
    device.now += QUIET_S
    plan = device.pull.next(device.state, device.state.unproven(), device.now)
    assert plan.leave == asked
    for _ in range(10):
        device.now += QUIET_S + AGAIN_S
        device.next()
        assert device.pull.under_way <= FIRST_WINDOW // 2
    assert device.pull.under_way <= LEAST_WINDOW


def test_the_silence_is_only_of_what_was_asked_for() -> None:
    device = Device(["alice", "bob"])
    asked = device.next()
    for _ in range(30):
        device.now += 0.1
        device.pull.arrived(shard_of("bob"), "bob", device.now)
    plan = device.pull.next(device.state, device.state.unproven(), device.now)
    assert len(plan.leave) == len(asked) == 2


@pytest.mark.parametrize("queue", [25, 90, 300, 1000])
def test_a_broker_that_drops_beyond_its_queue_slows_but_does_not_stop(queue: int) -> None:
    device = Device(f"s{number}" for number in range(2000))
    device.until_complete(queue)


def test_a_window_that_was_too_large_is_not_tried_again() -> None:
    device = Device(f"s{number}" for number in range(5000))
    device.until_complete(100)
    # One or two losses of two seconds each: with more, an old broker would take minutes.
    assert device.now < 20
    device.next()
    assert device.pull.stuck() == 0


def test_what_came_and_is_no_good_is_asked_for_ever_later_and_told() -> None:
    device = Device(["alice"])
    shard = shard_of("alice")
    tries: list[float] = []
    for _ in range(6000):
        for want in device.next():
            tries.append(device.now)
            device.pull.arrived(want.shard, INDEX, device.now)
        device.now += 0.1
    waits = [later - earlier for earlier, later in pairwise(tries)]
    expected = [min(AGAIN_S * 2**n, LONGEST_S) for n in range(len(waits))]
    assert waits == pytest.approx(expected, abs=0.2)
    assert device.pull.stuck() == 1
    device.indexes[shard] = device.roster[shard]
    device.held[shard] = {"alice": 1}
    assert device.complete


def test_a_new_head_or_connection_ends_all_patience() -> None:
    device = Device(["alice"])
    for again in (lambda: setattr(device, "head", Head(1, 1.0, device.head.sums)),
                  device.pull.start_over):  # fmt: skip
        for _ in range(400):
            for want in device.next():
                device.pull.arrived(want.shard, INDEX, device.now)
            device.now += 0.1
        assert device.pull.stuck()
        assert device.next() == []
        again()  # type: ignore[no-untyped-call]
        assert len(device.next()) == 1
        assert device.pull.stuck() == 0


def test_what_was_open_on_an_old_connection_is_left_on_the_new_one() -> None:
    device = Device(["alice", "bob"])
    asked = device.next()
    device.pull.start_over()
    plan = device.pull.next(device.state, device.state.unproven(), device.now)
    assert plan.leave == asked
    assert [want.shard for want in plan.ask] == [want.shard for want in asked]


def test_patience_is_not_kept_for_what_is_proven() -> None:
    device = Device(["alice", "bob"])
    for _ in range(200):
        for want in device.next():
            if want.shard == shard_of("alice"):
                device.bring(want)
        device.now += 0.1
    assert device.pull.stuck() == 1
    for _ in range(1000):
        for want in device.next():
            device.bring(want)
        device.now += 0.1
    assert device.complete
    device.next()
    assert device.pull.stuck() == 0


def test_a_reminder_comes_soon_after_a_sign_then_ever_later() -> None:
    reminder, due = Reminder(), []
    assert not reminder.due(1e9)
    reminder.soon(0.0)
    for second in range(2000):
        if reminder.due(float(second)):
            due.append(second)
    assert due[:4] == [SOON_S, 3 * SOON_S, 7 * SOON_S, 15 * SOON_S]
    assert due[-1] - due[-2] == SELDOM_S
    reminder.seldom(2000.0)
    assert not reminder.due(2000 + SELDOM_S - 1)
    assert reminder.due(2000 + SELDOM_S)


def test_no_message_puts_off_the_seldom_reminder() -> None:
    reminder = Reminder()
    reminder.seldom(0.0)
    reminder.soon(200.0)
    reminder.calm()
    assert not reminder.due(SELDOM_S - 1)
    assert reminder.due(SELDOM_S)
    assert not reminder.due(2 * SELDOM_S - 1)
    assert reminder.due(2 * SELDOM_S)


def test_a_sign_does_not_put_off_what_one_before_has_begun() -> None:
    reminder = Reminder()
    reminder.seldom(0.0)
    for second in range(int(SOON_S)):
        assert not reminder.due(second)
        reminder.soon(second)
    assert reminder.due(SOON_S)


def test_the_next_indexes_are_fetched_beside_the_records() -> None:
    device = Device(f"s{number}" for number in range(3000))
    for index in device.next():
        device.bring(index)
    asked = device.next()
    assert {bool(want.subjects) for want in asked} == {True, False}
