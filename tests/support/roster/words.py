"""Short words for the replica's stories: messages, devices, and what a step did."""

from __future__ import annotations

from typing import Any

from ostiary.edge.roster.changes import Changes, Message, Put, Sealed, SealedHead
from ostiary.edge.roster.record import Index, Record
from ostiary.edge.roster.replica import ReplicaState, restored, step
from tests.support.roster.model import HOT, PEOPLE, head_of, index_of, sealed, sealed_head

SHARD = HOT[0]
A, B, C, D = PEOPLE[:4]
E = PEOPLE[4]
"""A subject in another shard than the first four."""


def rec(subject: str, revision: int, **rest: Any) -> Sealed:
    return sealed(Record(subject, revision, **rest))


def gone(subject: str, revision: int) -> Sealed:
    return rec(subject, revision, gone=True)


def barred(subject: str, revision: int) -> Sealed:
    return rec(subject, revision, suspended=True)


def head(sequence: int, at_s: float = 0.0, **entries: int) -> SealedHead:
    return sealed_head(head_of(sequence, at_s, entries))


def index(sequence: int, **entries: int) -> Index:
    return index_of(SHARD, sequence, entries)


def tell(state: ReplicaState, *messages: Message) -> tuple[ReplicaState, list[str], list[str]]:
    """Process messages one by one: the state, the steps, and the reasons of refusals."""
    steps, refused = [], []
    for message in messages:
        state, changes = step(state, [message])
        steps += words(changes)
        refused += [r.reason for r in changes.refused]
    return state, steps, refused


def words(changes: Changes) -> list[str]:
    """Steps as `+subject@revision` and `-subject`."""
    return [
        f"+{s.sealed.record.subject}@{s.sealed.record.revision}"
        if isinstance(s, Put)
        else f"-{s.subject}"
        for s in changes.steps
    ]


def held(state: ReplicaState) -> dict[str, int]:
    return {s: r for shard in state.shards.values() for s, r in shard.held.items()}


def at(sequence: int, **entries: int) -> ReplicaState:
    """A device that holds all that a head says."""
    return restored(head_of(sequence, 0.0, entries), entries)


def put(subject: str, revision: int) -> str:
    return f"+{subject}@{revision}"
