"""Publishes the changes since the last run, in chunks that online devices can take in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ostiary.edge.roster.record import Head, Index, Record, shard_of, sum_of
from ostiary.fleet.broker.readback import Readback, Reads, exact
from ostiary.fleet.broker.session import Retained
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.registry.registry import Registry

CHUNK = 500
"""Records before each new head. A device stores 64 records per shard (of 256) that no head covers
yet: after a larger chunk, it would have to ask for records again."""

Entries = dict[str, dict[str, int]]
"""The revision of each subject, by shard."""


class NotOurs(Exception):
    """The broker does not hold what was published last, so everything must be compared."""


class Writes(Reads, Protocol):
    """The part of `ostiary.fleet.broker.session.Broker` that publishing changes needs."""

    def publish(self, messages: Iterable[Retained]) -> int: ...


@dataclass(slots=True)
class Sent:
    """The counts of what was published, and the new head, if any."""

    records: int = 0
    indexes: int = 0
    cleared: int = 0
    head: Head | None = None


def send_changes(
    registry: Registry,
    voice: Voice,
    broker: Writes,
    last: Head | None,
    now_s: float,
) -> Sent:
    """Publish the registry's changes since the head `last`. Call it in `registry.snapshot()`.

    Raises NotOurs, before anything is published, if `last` is not the broker's head.
    """
    return _Changes(registry, voice, broker, last).send(now_s)


class _Changes:
    def __init__(self, registry: Registry, voice: Voice, broker: Writes, last: Head | None) -> None:
        self._registry, self._voice, self._broker = registry, voice, broker
        self._sequence = registry.roster.sequence
        self._reading = Readback(broker)
        topic = voice.topics.head
        head = voice.opened(topic, self._came([topic]).get(topic), Head)
        # After a restore, the last published number may differ from that of the last head in the
        # folder.
        if last is None or head is None or last.sequence != registry.roster.published:
            raise NotOurs
        if (head.sequence, head.sums) != (last.sequence, last.sums):
            raise NotOurs
        self._last = head
        self._shards = registry.roster.changed_shards(head.sequence)
        self._new = {name: dict(registry.roster.index(name).entries) for name in self._shards}
        self._old = self._published()
        self._wanted = registry.roster.head(0).sums
        if _with(head, self._new).sums != self._wanted:
            raise NotOurs

    def send(self, now_s: float) -> Sent:
        sent = Sent()
        if self._shards:
            self._registry.attempt(self._sequence)
        changed = self._registry.roster.changed_since(self._last.sequence)
        erased = {
            subject: name for name in self._shards for subject in self._old[name].keys()
            - self._new[name].keys()
        }  # fmt: skip
        for subject, name in erased.items():
            del self._old[name][subject]
        head, dirty = self._last, set(erased.values())
        chunks = [changed[start : start + CHUNK] for start in range(0, len(changed), CHUNK)]
        for number, chunk in enumerate(chunks or [[]] * bool(self._shards), 1):
            for subject in chunk:
                name = shard_of(subject)
                self._old[name][subject] = self._new[name][subject]
                dirty.add(name)
            final = number >= len(chunks)
            at = self._sequence if final else self._new[shard_of(chunk[-1])][chunk[-1]]
            if not final:
                dirty |= self._leave_out(changed[number * CHUNK :], at)
            # Send tombstones of erased people first: online devices act on them at once.
            gone = [Record(s, at, gone=True) for s in erased] if number == 1 else []
            sent.records += self._broker.publish(
                self._voice.record(r) for r in (*gone, *self._registry.roster.records(chunk))
            ) - len(gone)
            names = self._shards if final else sorted(dirty)
            sent.indexes += self._broker.publish(
                self._voice.index(self._index(name, at)) for name in names
            )
            head = _with(head, {name: self._old[name] for name in names})
            sent.head = Head(at, now_s, head.sums)
            self._broker.publish([self._voice.head(sent.head)])
            dirty.clear()
        sent.cleared = self._broker.publish(
            Retained(self._voice.topic_of(subject), b"") for subject in erased
        )
        return sent

    def _leave_out(self, later: list[str], at: int) -> set[str]:
        """Take out subjects that were changed up to `at` and come in a later chunk; returns their
        shards.

        The broker lists an outdated revision for them. If a subject was suspended and then resumed,
        a head that lists the record from before the suspension would let the subject in.
        """
        untrue = self._registry.roster.touched(self._last.sequence, at).intersection(later)
        listed = {s for s in untrue if s in self._old[shard_of(s)]}
        for subject in listed:
            del self._old[shard_of(subject)][subject]
        return {shard_of(subject) for subject in listed}

    def _index(self, name: str, at: int) -> Index:
        final = self._registry.roster.index(name)
        entries = tuple(sorted(self._old[name].items()))
        return final if final.entries == entries else Index(name, at, entries)

    def _published(self) -> Entries:
        """The index entries of the changed shards at the broker, checked against `last`."""
        topics = {self._voice.topics.index(name): name for name in self._shards}
        # Do not wait for the index of an empty shard, which may never have had one.
        came = self._came([t for t, name in topics.items() if self._last.sum_of(name).count])
        found: Entries = {}
        for topic, name in topics.items():
            index = self._voice.opened(topic, came.get(topic), Index)
            entries = dict(index.entries) if index is not None else {}
            if sum_of(entries) != self._last.sum_of(name):
                raise NotOurs
            found[name] = entries
        return found

    def _came(self, topics: list[str]) -> dict[str, bytes]:
        came: dict[str, bytes] = {}
        for window in self._reading.read(exact(topics)):
            came.update(window)
        return came


def _with(head: Head, shards: Entries) -> Head:
    """A head in which the sums of some shards are computed anew."""
    sums = list(head.sums)
    for name, entries in shards.items():
        sums[int(name, 16)] = sum_of(entries)
    return Head(head.sequence, head.issued_at_s, tuple(sums))
