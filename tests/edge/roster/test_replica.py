"""The replica's rules as short stories: messages, who is held afterwards, what was refused."""

from __future__ import annotations

import pytest

from ostiary.edge.roster.changes import Changes, Message, Refused
from ostiary.edge.roster.record import sum_of
from ostiary.edge.roster.replica import ReplicaState, step
from tests.support.roster.model import head_of
from tests.support.roster.words import (
    SHARD,
    A,
    B,
    C,
    E,
    at,
    barred,
    gone,
    head,
    held,
    index,
    put,
    rec,
    tell,
)

BLANK = ReplicaState()
STORIES: dict[str, tuple[ReplicaState, list[Message], list[str], dict[str, int], list[str]]] = {
    # a new device
    "nobody before a head": (BLANK, [rec(A, 1), gone(A, 2)], [], {}, []),
    "a head alone lets nobody in": (BLANK, [head(1, **{A: 1})], [], {}, []),
    "record, then head": (BLANK, [rec(A, 1), head(1, **{A: 1})], [put(A, 1)], {A: 1}, []),
    "head, then record": (BLANK, [head(1, **{A: 1}), rec(A, 1)], [put(A, 1)], {A: 1}, []),
    "a digest proves all or nothing": (
        BLANK, [head(2, **{A: 1, B: 2}), rec(A, 1)], [], {}, [],
    ),
    "as many as the head says are not yet who it says": (
        at(5, **{A: 5}), [rec(B, 6), head(7, **{A: 5, C: 7})], [], {A: 5}, [],
    ),
    "an index lets in one by one": (
        BLANK, [head(2, **{A: 1, B: 2}), index(2, **{A: 1, B: 2}), rec(B, 2)], [put(B, 2)],
        {B: 2}, [],
    ),
    "an index before any head is nothing": (BLANK, [index(1, **{A: 1}), rec(A, 1)], [], {}, []),
    "a tombstone comes in by the index too": (
        BLANK, [head(2, **{A: 2}), gone(A, 2)], [put(A, 2)], {A: 2}, [],
    ),
    # 1: the highest head counts
    "an older head": (at(5, **{A: 5}), [head(4, **{A: 3})], [], {A: 5}, ["old-head"]),
    "an empty older head": (at(5, **{A: 5}), [head(4, 9.0)], [], {A: 5}, ["old-head"]),
    "two heads of one number": (
        at(5, **{A: 5}), [head(5, 9.0, **{A: 4})], [], {A: 5}, ["conflicting-head"],
    ),
    "the same head again": (at(5, **{A: 5}), [head(5, **{A: 5})], [], {A: 5}, []),
    "an index of an older head": (
        at(5, **{A: 5}), [index(4, **{A: 3})], [], {A: 5}, ["old-index"],
    ),
    "an index of the same number and other entries": (
        at(5, **{A: 5}), [index(5, **{B: 4})], [], {A: 5}, ["old-index"],
    ),
    "an index of a head to come": (at(5, **{A: 5}), [index(6, **{B: 6})], [], {A: 5}, []),
    "the index that counts, once more": (at(5, **{A: 5}), [index(5, **{A: 5})], [], {A: 5}, []),
    # 2: access only with the revision that is in the index
    "who left is dropped at once when nobody is left": (
        at(5, **{A: 5}), [head(6)], [f"-{A}"], {}, [],
    ),
    "who left is dropped with the index": (
        at(5, **{A: 4, B: 5}), [head(6, **{B: 5}), index(6, **{B: 5})], [f"-{A}"], {B: 5}, [],
    ),
    "an old revision is not let in any more": (
        at(5, **{A: 4, B: 5}), [head(6, **{A: 6, B: 5}), index(6, **{A: 6, B: 5})], [f"-{A}"],
        {B: 5}, [],
    ),
    "it was replaced where the new one is there": (
        at(5, **{A: 4, B: 5}), [rec(A, 6), head(6, **{A: 6, B: 5})], [put(A, 6)],
        {A: 6, B: 5}, [],
    ),
    "also with an index, and nobody is dropped on the way": (
        at(5, **{A: 4, B: 5}),
        [rec(A, 6), head(7, **{A: 6, B: 7}), index(7, **{A: 6, B: 7})], [put(A, 6), f"-{B}"],
        {A: 6}, [],
    ),
    "a head says otherwise than a head of another registry": (
        at(5, **{A: 5, B: 4}), [head(6, **{A: 3, B: 4}), index(6, **{A: 3, B: 4}), rec(A, 3)],
        [f"-{A}", put(A, 3)], {A: 3, B: 4}, [],
    ),
    "also at the very number of what it held": (
        at(3, **{A: 3, B: 2}),
        [gone(A, 6), head(6, **{A: 5, B: 2}), index(6, **{A: 5, B: 2}), rec(A, 5)],
        [put(A, 6), f"-{A}", put(A, 5)], {A: 5, B: 2}, [],
    ),
    "also where only the number passes what it held": (
        at(3, **{A: 3, B: 2}),
        [gone(A, 7), head(6, **{A: 6, B: 2}), index(6, **{A: 6, B: 2}),
         head(8, **{A: 6, B: 2, E: 8}), rec(A, 6)],
        [put(A, 7), f"-{A}", put(A, 6)], {A: 6, B: 2}, [],
    ),
    "another shard's change asks nothing of this one": (
        at(5, **{A: 5}), [rec(E, 6), head(6, **{A: 5, E: 6})], [put(E, 6)], {A: 5, E: 6}, [],
    ),
    # 3: rights are taken at once and given by the head alone
    "a tombstone works at once": (at(5, **{A: 5}), [gone(A, 6)], [put(A, 6)], {A: 6}, []),
    "a suspension works at once": (at(5, **{A: 5}), [barred(A, 6)], [put(A, 6)], {A: 6}, []),
    "a change waits": (at(5, **{A: 5}), [rec(A, 6)], [], {A: 5}, []),
    "a resumption waits": (
        at(5, **{A: 5}), [barred(A, 6), rec(A, 7)], [put(A, 6)], {A: 6}, [],
    ),
    "a tombstone of nobody waits": (at(5, **{A: 5}), [gone(B, 6)], [], {A: 5}, []),
    "and keeps out what it revoked": (
        at(5, **{A: 5}), [gone(B, 7), rec(B, 6), head(6, **{A: 5, B: 6})], [], {A: 5}, [],
    ),
    "what was taken stays through heads before it": (
        at(3, **{A: 3, B: 2}),
        [gone(A, 7), head(4, **{B: 2}), index(4, **{B: 2}), head(6, **{A: 6, B: 2}),
         index(6, **{A: 6, B: 2}), rec(A, 6)],
        [put(A, 7)], {A: 7, B: 2}, ["old-record"],
    ),
    "also where a head before it has nobody in the shard": (
        at(3, **{A: 3}), [gone(A, 7), head(4), head(6, **{A: 6}), rec(A, 6)], [put(A, 7)],
        {A: 7}, ["old-record"],
    ),
    "a tombstone works at once while nobody knows what the head says": (
        at(5, **{A: 5, B: 4}), [head(7, **{A: 6, B: 7}), gone(A, 6)], [put(A, 6)],
        {A: 6, B: 4}, [],
    ),
    "a tombstone ends with the enrollment after it": (
        at(5, **{A: 5}), [gone(A, 6), rec(A, 7), head(7, **{A: 7})], [put(A, 6), put(A, 7)],
        {A: 7}, [],
    ),
    "in whatever order they come": (
        at(5, **{A: 5}), [rec(A, 7), gone(A, 6), head(7, **{A: 7})], [put(A, 6), put(A, 7)],
        {A: 7}, [],
    ),
    # 4: a record not newer than the head and not in the index is obsolete
    "an old record of who is there": (
        at(5, **{A: 5}), [rec(A, 3), gone(A, 4), barred(A, 2)], [], {A: 5}, ["old-record"] * 3,
    ),
    "the record that is there": (at(5, **{A: 5}), [rec(A, 5)], [], {A: 5}, []),
    "an old record of who was erased": (
        at(5, **{A: 5}), [rec(B, 4), gone(B, 5)], [], {A: 5}, ["not-in-index"] * 2,
    ),
    "a tombstone that the head knows nothing of": (
        at(7, **{A: 5}), [gone(A, 6), barred(A, 7)], [], {A: 5}, ["not-in-index"] * 2,
    ),
    "nor its index": (
        at(5, **{A: 5}), [head(9, **{A: 5, B: 9}), index(9, **{A: 5, B: 9}), gone(A, 8)], [],
        {A: 5}, ["not-in-index"],
    ),
    "what is newer than the head waits for the next": (
        at(5, **{A: 5}), [rec(B, 7), head(6, **{A: 6}), rec(A, 6), head(7, **{A: 6, B: 7})],
        [put(A, 6), put(B, 7)], {A: 6, B: 7}, [],
    ),
    "of two that wait the newer counts": (
        at(5, **{A: 5}), [rec(A, 6), rec(A, 7), head(7, **{A: 7})], [put(A, 7)], {A: 7}, [],
    ),
    "what waited in vain is dead": (
        at(5, **{A: 5}), [rec(B, 6), head(7, **{A: 5}), head(8, **{A: 5, B: 6}), rec(B, 6)],
        [put(B, 6)], {A: 5, B: 6}, ["not-in-index"],
    ),
    "dead records do not hinder the index": (
        at(5, **{A: 5}), [rec(C, 6), rec(B, 7), head(7, **{A: 5, B: 7}), index(7, **{A: 5, B: 7})],
        [put(B, 7)], {A: 5, B: 7}, ["not-in-index"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_a_story_of_messages_one_by_one(story: str) -> None:
    state, messages, steps, who, refused = STORIES[story]
    end, taken, why = tell(state, *messages)
    assert (taken, held(end), why) == (steps, who, refused)
    assert end.shard(SHARD).sum == sum_of(end.shard(SHARD).held)


@pytest.mark.parametrize("story", STORIES)
def test_the_same_story_at_once_ends_the_same(story: str) -> None:
    """Except for subjects that are dropped and come back, and for an index in between."""
    state, messages, _, who, _ = STORIES[story]
    together, changes = step(state, messages)
    again, _, _ = tell(together, *messages)
    assert held(again) == who
    assert changes.head is None or changes.head.head == together.head


def test_a_refusal_says_what_it_is_about() -> None:
    messages: list[Message] = [head(4), head(5), index(3, **{B: 1}), rec(A, 1), rec(B, 4)]
    _, changes = step(at(5, **{A: 5}), messages)
    assert changes.refused == (
        Refused(messages[0], "old-head", "sequence 4 after 5"),
        Refused(messages[1], "conflicting-head", "two different heads of sequence 5"),
        Refused(messages[2], "old-index", f"shard {SHARD} of sequence 3"),
        Refused(messages[3], "old-record", f"{A} at revision 1"),
        Refused(messages[4], "not-in-index", f"{B} at revision 4"),
    )


def test_a_head_signed_again_is_newer_and_changes_nobody() -> None:
    state, changes = step(at(5, **{A: 5}), [head(5, 60.0, **{A: 5})])
    assert changes == Changes(head=head(5, 60.0, **{A: 5}))
    assert state.head == head_of(5, 60.0, {A: 5})
    for late in (30.0, 60.0):
        unmoved, changes = step(state, [head(5, late, **{A: 5})])
        assert (unmoved.head, changes) == (state.head, Changes())


def test_a_newer_head_may_be_dated_before_an_older_one() -> None:
    state, changes = step(at(5, **{A: 5}), [head(9, 50.0, **{A: 5}), head(6, 60.0, **{A: 5})])
    assert state.head == head_of(9, 50.0, {A: 5})
    assert changes.head == head(9, 50.0, **{A: 5})
