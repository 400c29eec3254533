"""A model of the fleet in plain Python: the registry, a publisher that can be killed, a broker."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from ostiary.edge.roster.changes import Message, Sealed, SealedHead
from ostiary.edge.roster.record import EMPTY, SHARDS, Head, Index, Record, shard_of, sum_of

Topic = tuple[str, ...]
Sending = Generator[tuple[Topic, Message], None, None]
Entries = dict[str, int]


def _in_shard(shard: str, count: int) -> list[str]:
    """The first ids that belong to a shard."""
    names = (f"p{number}" for number in range(100_000))
    found = (name for name in names if shard_of(name) == shard)
    return [next(found) for _ in range(count)]


HOT = ("00", "a7")
PEOPLE = (*_in_shard("00", 4), *_in_shard("a7", 2))
"""Six subjects in two shards, so that the rules of a shard are tested."""


def of_shard(entries: Mapping[str, int], shard: str) -> Entries:
    return {s: r for s, r in entries.items() if shard_of(s) == shard}


def head_of(sequence: int, issued_at_s: float, entries: Mapping[str, int]) -> Head:
    sums = [EMPTY] * SHARDS
    for shard in {shard_of(s) for s in entries}:
        sums[int(shard, 16)] = sum_of(of_shard(entries, shard))
    return Head(sequence, issued_at_s, tuple(sums))


def index_of(shard: str, sequence: int, entries: Mapping[str, int]) -> Index:
    return Index(shard, sequence, tuple(sorted(of_shard(entries, shard).items())))


def sealed(record: Record) -> Sealed:
    """A record as if it had come; the payload is not used here."""
    return Sealed(record, b"%d" % record.revision)


def sealed_head(head: Head) -> SealedHead:
    return SealedHead(head, b"head %d" % head.sequence)


def topic_of(message: Message) -> Topic:
    if isinstance(message, SealedHead):
        return ("head",)
    if isinstance(message, Index):
        return ("index", message.shard)
    return ("subject", message.record.subject)


class Registry:
    """The true records by subject, tombstones included; each change raises the sequence by 1."""

    def __init__(self) -> None:
        self.sequence = 0
        self.records: dict[str, Record] = {}
        self.changes = 0
        self.published = 0
        self._log: list[tuple[int, str, bool]] = []

    def entries(self) -> Entries:
        return {s: r.revision for s, r in self.records.items()}

    def entries_at(self, sequence: int) -> Entries:
        """The registry's content at a sequence number."""
        then: Entries = {}
        for number, subject, there in self._log:
            if number > sequence:
                break
            if there:
                then[subject] = number
            else:
                then.pop(subject, None)
        return then

    def shards_changed_since(self, sequence: int) -> set[str]:
        return {shard_of(s) for number, s, _ in self._log if number > sequence}

    def erased_since(self, sequence: int) -> set[str]:
        gone = {s for number, s, there in self._log if number > sequence and not there}
        return gone - self.records.keys()

    def enroll(self, subject: str) -> None:
        """Enroll, change or enroll again."""
        self.changes += 1
        self._write(subject, groups=(f"g{self.changes}",))

    def revoke(self, subject: str) -> None:
        if subject in self.records and not self.records[subject].gone:
            self._write(subject, gone=True)

    def suspend(self, subject: str) -> None:
        old = self.records.get(subject)
        if old is not None and not old.gone and not old.suspended:
            self._write(subject, groups=old.groups, suspended=True)

    def resume(self, subject: str) -> None:
        old = self.records.get(subject)
        if old is not None and old.suspended:
            self._write(subject, groups=old.groups)

    def erase(self, subject: str) -> None:
        if self.records.pop(subject, None) is not None:
            self.sequence += 1
            self._log.append((self.sequence, subject, False))

    def restore(self, backup: Mapping[str, Record], above: int) -> None:
        """Restore a backup, and give each record a revision above any seen so far."""
        # At least one more, even if the backup is empty: the head needs its own number.
        self.sequence, self.records, self.published, self._log = above + 1, {}, 0, []
        for record in sorted(backup.values(), key=lambda r: r.revision):
            rest = {"groups": record.groups, "gone": record.gone, "suspended": record.suspended}
            self._write(record.subject, **rest)

    def _write(self, subject: str, **rest: object) -> None:
        self.sequence += 1
        self.records[subject] = Record(subject, self.sequence, **rest)  # type: ignore[arg-type]
        self._log.append((self.sequence, subject, True))


@dataclass
class Publisher:
    """Records, then the indexes of the changed shards, then the head; chunk by chunk.

    Who was erased leaves by a tombstone first, which no index lists. What was signed is kept in
    `signed`, for an attacker to say again.
    """

    registry: Registry
    signed: list[Message] = field(default_factory=list)
    heads: dict[int, list[Entries]] = field(default_factory=dict)
    indexed: set[tuple[str, int]] = field(default_factory=set)
    highest: int = 0
    _clock: float = 0.0

    def publish(self, whole: bool, chunk: int, leave_out: bool) -> Sending:
        """The messages to the broker, in order; whoever stops iterating kills the publisher.

        What a chunk's head says of subjects that a later chunk changes: nothing with `leave_out`,
        else what was true at its number.
        """
        registry = self.registry
        # A snapshot: an operator may go on editing.
        records, final, sequence = dict(registry.records), registry.entries(), registry.sequence
        above = 0 if whole else registry.published
        stale = set(HOT) if whole else registry.shards_changed_since(above)
        changed = sorted((s for s, r in final.items() if r > above), key=final.__getitem__)
        chunks = [changed[i : i + chunk] for i in range(0, len(changed), chunk)] or [[]]
        for subject in sorted(registry.erased_since(above)):
            yield self._sign(sealed(Record(subject, sequence, gone=True)))
        for number, subjects in enumerate(chunks):
            upto = sequence if number == len(chunks) - 1 else final[subjects[-1]]
            entries = {s: r for s, r in final.items() if r <= upto}
            if not leave_out:
                entries = registry.entries_at(upto)
            for subject in subjects:
                yield self._sign(sealed(records[subject]))
            self.indexed |= set(entries.items())
            for shard in sorted(stale):
                yield self._sign(index_of(shard, upto, entries))
            yield self._head(upto, entries)
        registry.published = sequence

    def _head(self, sequence: int, entries: Entries) -> tuple[Topic, Message]:
        self._clock += 1
        self.highest = max(self.highest, sequence)
        said = self.heads.setdefault(sequence, [])
        if entries not in said:
            said.append(dict(entries))
        return self._sign(sealed_head(head_of(sequence, self._clock, entries)))

    def _sign(self, message: Message) -> tuple[Topic, Message]:
        self.signed.append(message)
        return topic_of(message), message


MOST_QUEUED = 10


@dataclass
class Broker:
    """Retained messages, and a queue per device that drops what overflows."""

    retained: dict[Topic, Message] = field(default_factory=dict)
    queues: list[list[Message]] = field(default_factory=list)

    def publish(self, topic: Topic, message: Message, retain: bool = True) -> None:
        if retain:
            self.retained[topic] = message
        if topic[0] == "index":
            return  # only a pull subscribes to indexes
        for queue in self.queues:
            if len(queue) < MOST_QUEUED:
                queue.append(message)

    def forget(self) -> None:
        self.retained.clear()
        for queue in self.queues:
            queue.clear()
