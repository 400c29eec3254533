"""A device that follows the reducer, and what must hold after each of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ostiary.edge.roster.changes import Changes, Drop, Message, Sealed
from ostiary.edge.roster.record import Head, Record, shard_of, sum_of
from ostiary.edge.roster.replica import MOST_WAITING, ReplicaState, restored, step
from tests.support.roster.model import HOT, Broker, Entries, Publisher, of_shard

REASONS = {"old-head", "conflicting-head", "old-index", "old-record", "not-in-index"}
MOST_UNDER_WAY = 60


@dataclass(frozen=True)
class Disk:
    """One transaction of the store; `taken` is the last revision that took rights away."""

    records: dict[str, Record] = field(default_factory=dict)
    head: Head | None = None
    taken: dict[str, int] = field(default_factory=dict)


class Device:
    """The reducer with a store and a puller."""

    def __init__(self, publisher: Publisher, queue: list[Message]) -> None:
        self.publisher, self.queue = publisher, queue
        self.under_way: list[Message] = []
        self.disk, self.older = Disk(), [Disk()]
        self.state = ReplicaState()

    def let_in(self) -> Entries:
        records = self.disk.records.values()
        return {r.subject: r.revision for r in records if not r.gone and not r.suspended}

    def restart(self, back: int) -> None:
        """Restart from the store, which has lost its last `back` transactions."""
        if back:
            self.disk = self.older[-min(back, len(self.older))]
        held = {s: r.revision for s, r in self.disk.records.items()}
        self.state = restored(self.disk.head, held)
        self.under_way.clear()
        self.check_store()

    def pull(self, broker: Broker) -> None:
        """Request the head, the indexes of differing shards, and the records that they name."""
        topics: list[tuple[str, ...]] = [("head",)]
        for name in self.state.unproven():
            shard = self.state.shard(name)
            if shard.index is None:
                topics.append(("index", name))
            topics += [("subject", subject) for subject in shard.missing()]
        asked = [broker.retained[topic] for topic in topics if topic in broker.retained]
        self.under_way += asked[: MOST_UNDER_WAY - len(self.under_way)]

    def take(self, messages: Sequence[Message]) -> Changes:
        before = self.state
        image = {n: (dict(before.shard(n).held), dict(before.shard(n).waiting)) for n in HOT}
        let_in, records = self.let_in(), self.disk.records
        self.state, changes = step(before, messages)
        for name in HOT:
            assert (before.shard(name).held, before.shard(name).waiting) == image[name]
        self._store(changes)
        self.check_store()
        self._check_head(before, changes)
        self._check_who_is_in(let_in)
        self._check_who_left(records)
        self._check_taken(before, messages)
        assert {refused.reason for refused in changes.refused} <= REASONS
        return changes

    def _store(self, changes: Changes) -> None:
        records, taken = dict(self.disk.records), dict(self.disk.taken)
        for change in changes.steps:
            if isinstance(change, Drop):
                del records[change.subject]
                continue
            record = change.sealed.record
            if record.subject in records:
                assert record.revision > records[record.subject].revision
            records[record.subject] = record
            if record.gone or record.suspended:
                taken[record.subject] = max(record.revision, taken.get(record.subject, 0))
        if changes.steps or changes.head is not None:
            head = changes.head.head if changes.head is not None else self.disk.head
            self.older = [*self.older[-2:], self.disk]
            self.disk = Disk(records, head, taken)

    def check_store(self) -> None:
        """Check that the store, the state and its sums agree."""
        held = {s: r.revision for s, r in self.disk.records.items()}
        assert self.disk.head == self.state.head
        assert len(self.state) == len(held)
        assert set(self.state.shards) <= set(HOT) or self.state.head is not None
        for name in HOT:
            shard = self.state.shard(name)
            assert shard.held == of_shard(held, name)
            assert shard.sum == sum_of(shard.held)
            assert len(shard.waiting) <= MOST_WAITING + len(shard.held)
            for subject, sealed in shard.waiting.items():
                assert sealed.record.revision > shard.held.get(subject, 0)

    def _check_head(self, before: ReplicaState, changes: Changes) -> None:
        head = self.state.head
        if changes.head is None:
            assert head == before.head
            return
        assert head == changes.head.head
        if before.head is not None:
            old, new = before.head, changes.head.head
            assert (new.sequence, new.issued_at_s) > (old.sequence, old.issued_at_s)
            assert new.sums == old.sums or new.sequence > old.sequence

    def _check_who_is_in(self, before: Entries) -> None:
        head, let_in = self.state.head, self.let_in()
        assert let_in.items() - before.items() <= self.publisher.indexed
        for subject, revision in let_in.items():
            assert revision > self.disk.taken.get(subject, 0), f"{subject} came back"
        if head is None:
            assert not self.disk.records
            return
        unproven = self.state.unproven()
        for name in HOT:
            shard, said = self.state.shard(name), self._said(head, name)
            # Whichever way it was proven: a new subject is one that the head has.
            for subject, revision in of_shard(let_in, name).items():
                assert before.get(subject) == revision or said.get(subject) == revision
            if name not in unproven:
                assert shard.held == said
                assert all(w.record.revision > head.sequence for w in shard.waiting.values())
            if shard.index is not None:
                assert name in unproven
                assert shard.index == said
                for subject, revision in shard.held.items():
                    assert said.get(subject) == revision or revision > head.sequence

    def _check_who_left(self, before: dict[str, Record]) -> None:
        """Only subjects that the head contradicts are dropped; newer records stay."""
        for subject in before.keys() - self.disk.records.keys():
            head, revision = self.state.head, before[subject].revision
            assert head is not None
            assert revision <= head.sequence
            assert self._said(head, shard_of(subject)).get(subject) != revision

    def _said(self, head: Head, name: str) -> Entries:
        """The entries of a shard that the publisher summed up in a head."""
        for entries in self.publisher.heads[head.sequence]:
            if sum_of(of_shard(entries, name)) == head.sum_of(name):
                return of_shard(entries, name)
        raise AssertionError("a head that nobody signed")

    def _check_taken(self, before: ReplicaState, messages: Sequence[Message]) -> None:
        """A tombstone or a suspension takes effect at once for a held subject."""
        let_in, known = self.let_in(), before.head.sequence if before.head else 0
        for message in messages:
            if isinstance(message, Sealed) and (message.record.gone or message.record.suspended):
                record = message.record
                if record.revision > known:
                    assert let_in.get(record.subject, record.revision + 1) > record.revision
