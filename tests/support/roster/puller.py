"""A device for tests of the pull: its state accepts everything that a broker sends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ostiary.edge.roster.pull import INDEX, Pull, Want
from ostiary.edge.roster.record import Head, shard_names, shard_of, sum_of
from ostiary.edge.roster.replica import ReplicaState, Shard

Entries = Mapping[str, int]


def by_shard(subjects: Iterable[str]) -> dict[str, dict[str, int]]:
    shards: dict[str, dict[str, int]] = {}
    for subject in subjects:
        shards.setdefault(shard_of(subject), {})[subject] = 1
    return shards


class Device:
    """A replica's state that accepts what a broker sends, without seals and proofs."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self.roster = by_shard(subjects)
        self.held: dict[str, dict[str, int]] = {}
        self.indexes: dict[str, Entries] = {}
        self.pull, self.now = Pull(), 0.0
        self.absent: set[str] = set()
        self.sign()

    def sign(self) -> None:
        """Set what the operator's roster contains now."""
        sums = tuple(sum_of(self.roster.get(name, {})) for name in shard_names())
        self.head = Head(1, self.now, sums)

    @property
    def state(self) -> ReplicaState:
        shards = {}
        for name in self.roster:
            held = self.held.get(name, {})
            shards[name] = Shard(held, sum_of(held), {}, self.indexes.get(name))
        return ReplicaState(self.head, MappingProxyType(shards))

    @property
    def complete(self) -> bool:
        return not self.state.unproven()

    def next(self) -> list[Want]:
        state = self.state
        return self.pull.next(state, state.unproven(), self.now).ask

    def bring(self, want: Want, but: Iterable[str] = ()) -> int:
        """Deliver all that a filter matches; returns the number of messages."""
        subjects = [s for s in want.subjects or (INDEX,) if s not in set(but)]
        for subject in subjects:
            if subject == INDEX:
                self.indexes[want.shard] = self.roster[want.shard]
            else:
                self.held.setdefault(want.shard, {})[subject] = 1
            self.pull.arrived(want.shard, subject, self.now)
        return len(subjects)

    def live(self, seconds: float, head_every_s: float = math.inf) -> None:
        """Pull from a broker that has all but the records and indexes that are `absent`."""
        until, signed_s = self.now + seconds, self.now
        while self.now < until:
            if self.now - signed_s >= head_every_s:
                signed_s = self.now
                self.sign()
            for want in self.next():
                topics = self.absent | {INDEX} if want.shard in self.absent else self.absent
                self.bring(want, but=topics)
            self.now += 0.5

    @property
    def missing(self) -> set[str]:
        return {s for n, all_ in self.roster.items() for s in all_.keys() - self.held.get(n, {})}

    def until_complete(self, broker_queue: int = 10_000) -> int:
        """Pull everything; returns the most messages that were under way at once."""
        most = 0
        for _ in range(2000):
            asked = self.next()
            most = max(most, self.pull.under_way)
            room = broker_queue
            for want in asked:
                if room >= want.expected:
                    room -= self.bring(want)
            self.now += 0.1
            if self.complete:
                return most
        raise AssertionError("never complete")
