"""The replica's state: missing records, waiting records and their limit, and restarts."""

from __future__ import annotations

import pytest

from ostiary.edge.roster.changes import Drop, Message, Put
from ostiary.edge.roster.record import SHARDS, Head, total
from ostiary.edge.roster.replica import MOST_WAITING, ReplicaState, restored, step
from tests.support.roster.model import HOT, PEOPLE, head_of
from tests.support.roster.words import (
    SHARD,
    A,
    B,
    C,
    D,
    E,
    at,
    gone,
    head,
    held,
    index,
    put,
    rec,
    tell,
    words,
)


def test_a_state_is_never_changed_in_place() -> None:
    before = at(5, **{A: 5, B: 4})
    waiting, _ = step(before, [rec(C, 6), head(7, **{A: 5, C: 7})])
    for state in (before, waiting):
        image = (state.head, held(state), dict(state.shard(SHARD).waiting))
        step(state, [gone(A, 8), rec(D, 9), index(7, **{A: 5, C: 7}), rec(C, 7), head(10)])
        assert (state.head, held(state), dict(state.shard(SHARD).waiting)) == image


def test_what_is_missing_is_what_the_index_names_and_nobody_brought() -> None:
    state, _, _ = tell(at(5, **{A: 5}), head(9, **{A: 8, B: 7, C: 9, E: 6}))
    assert state.unproven() == sorted(HOT)
    assert state.shard(SHARD).missing() == []
    state, _, _ = tell(state, index(9, **{A: 8, B: 7, C: 9}))
    assert state.shard(SHARD).missing() == sorted([A, B, C])
    state, _, _ = tell(state, rec(B, 7), rec(E, 6))
    assert state.shard(SHARD).missing() == sorted([A, C])
    assert state.unproven() == [SHARD]
    state, _, _ = tell(state, rec(A, 8), rec(C, 9))
    assert (state.unproven(), state.shard(SHARD).missing()) == ([], [])
    assert state.shard(SHARD).index is None


def test_an_index_outlives_a_head_that_changes_other_shards_only() -> None:
    state, _, _ = tell(at(5), head(9, **{A: 8}), index(8, **{A: 8}), head(10, **{A: 8, E: 10}))
    assert state.shard(SHARD).missing() == [A]
    state, _, _ = tell(state, head(11, **{B: 11}))
    assert state.shard(SHARD).index is None


def test_what_was_taken_before_its_head_is_not_missing() -> None:
    before = {A: 6, B: 2}
    state, _, _ = tell(at(3, **{A: 3, B: 2}), gone(A, 7), head(6, **before), index(6, **before))
    assert state.shard(SHARD).missing() == []
    assert state.unproven() == [SHARD]


def test_nothing_is_unproven_before_there_is_a_head() -> None:
    assert ReplicaState().unproven() == []
    assert len(ReplicaState()) == 0
    assert ReplicaState().sums() == at(1).sums()


def test_a_device_restarts_with_what_it_stored() -> None:
    entries = {A: 5, B: 4, E: 3}
    lived, _, _ = tell(ReplicaState(), rec(A, 5), rec(B, 4), rec(E, 3), head(5, **entries))
    again = restored(lived.head, entries)
    assert again.sums() == lived.sums()
    assert (again.unproven(), len(again), again.head) == ([], 3, lived.head)
    assert lived.head is not None
    assert total(again.sums()) == total(lived.head.sums)


def test_a_restart_before_the_head_comes_asks_for_what_differs() -> None:
    assert restored(head_of(6, 0.0, {A: 6}), {A: 5, E: 3}).unproven() == sorted(HOT)


def test_an_online_device_never_needs_to_ask() -> None:
    """Records, then the head, in chunks: no index is needed."""
    state, entries = at(1), {}
    for number, subject in enumerate(PEOPLE, 2):
        entries[subject] = number
        state, _, refused = tell(state, rec(subject, number), head(number, **entries))
        assert (held(state), state.unproven(), refused) == (entries, [], [])
    for number, subject in enumerate(PEOPLE, 20):
        entries[subject] = number
        state, _, refused = tell(state, gone(subject, number), head(number, **entries))
        assert (held(state), state.unproven(), refused) == (entries, [], [])


def waits(state: ReplicaState) -> list[int]:
    return sorted(w.record.revision for w in state.shard(SHARD).waiting.values())


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_what_waits_is_bounded_and_the_newest_of_it_stays(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All in one shard, by a patch: finding 200 such ids would take long.
    monkeypatch.setattr("ostiary.edge.roster.replica.shard_of", lambda subject: SHARD)
    flood = [rec(f"f{number}", 10 + number) for number in range(200)]
    state = at(5, **{A: 5, B: 4})
    for first in range(0, len(flood), batch):
        state, _ = step(state, flood[first : first + batch])
    assert waits(state) == list(range(210 - MOST_WAITING - 2, 210))


def test_the_records_an_index_asks_for_are_not_trimmed_away() -> None:
    state, _, _ = tell(
        ReplicaState(), head(5, **{A: 1, B: 2, C: 3}), index(5, **{A: 1, B: 2, C: 3})
    )
    assert held(step(state, [rec(C, 3), rec(A, 1), rec(B, 2)])[0]) == {A: 1, B: 2, C: 3}


def test_steps_of_many_messages_are_one_batch_in_order() -> None:
    messages: list[Message] = [gone(A, 6), rec(B, 7), head(7, **{A: 6, B: 7, E: 5}), rec(E, 5)]
    state, changes = step(at(5, **{A: 5}), messages)
    assert words(changes) == [put(A, 6), put(B, 7), put(E, 5)]
    assert changes.steps[0] == Put(gone(A, 6))
    assert state.unproven() == []
    assert step(at(5, **{A: 5}), [head(6)])[1].steps == (Drop(A),)
    assert isinstance(state.head, Head)
    assert len(state.sums()) == SHARDS
