"""Compares the broker's retained messages with the registry, one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ostiary.edge.core.types import SUBJECT
from ostiary.edge.roster.record import Head, Index, Record, shard_names, shard_of
from ostiary.fleet.broker.readback import LARGEST_WINDOW, Ask, Readback, Reads
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.registry.roster import RosterReader

SMALL = LARGEST_WINDOW // 2
"""Up to this number of subjects, one filter asks for all, and so finds topics of no shard too."""

Told = Callable[[str, int, int], None]
"""Called with the stage, the number done and the total."""
Sent = Mapping[str, bytes]
"""By topic, the digest of a payload just published: an equal payload need not be opened."""


@dataclass(slots=True)
class Found:
    """The differences between the broker and the registry.

    `head`: the broker's head is genuine and sums up the registry. `missing` and `changed` are
    subjects whose record is absent or differs. `erased` are subjects that an index lists and the
    registry does not know: devices may hold them. `strange` are topics to remove. `newest` is the
    highest number found that this operator signed. `other` says why that number cannot come from
    this registry. `foreign`: the broker has another fleet's head and no message of ours.
    """

    head: bool = False
    indexes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    strange: set[str] = field(default_factory=set)
    newest: int = 0
    other: str = ""
    foreign: bool = False

    @property
    def differs(self) -> bool:
        return bool(not self.head or self.indexes or self.missing or self.changed or self.strange)


def digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


class Survey:
    """One comparison. Run it in `registry.snapshot()`, so that the registry does not change."""

    def __init__(
        self, roster: RosterReader, voice: Voice, broker: Reads, told: Told, sent: Sent
    ) -> None:
        self._roster, self._voice, self._told, self._sent = roster, voice, told, sent
        self._topics = voice.topics
        self._reading = Readback(broker)
        self._sequence = roster.sequence
        self._attempted = roster.attempted
        self._entries = roster.entries()
        self._found = Found()
        self._seen: set[str] = set()

    def run(self) -> Found:
        listed = self._look_at_the_top()
        if not self._found.newest:
            # The broker lost the roster, or never had one: there is nothing to read back.
            self._found.missing = list(self._entries)
            return self._found
        # If there are messages of ours too, another fleet's head counts as a damaged one.
        self._found.foreign = False
        total = len(self._entries)
        for came in self._reading.read(self._asks(listed)):
            self._look_at_records(came)
            self._told("reading back", min(len(self._seen), total), total)
        self._found.missing = [s for s in self._entries if s not in self._seen]
        return self._found

    def _look_at_the_top(self) -> set[str]:
        """Compare head, indexes and the topics beside them; returns the subjects that genuine
        indexes list."""
        base, topics = self._topics.base, self._topics
        used = {topics.index(name): name for name in self._roster.changed_shards(0)}
        expected = frozenset([*used, topics.head] if used else ())
        came: dict[str, bytes] = {}
        asks = [
            Ask(f"{base}/+/+", expected - {topics.head}),
            Ask(f"{base}/+", expected & {topics.head}),
            Ask(f"{base}/+/+/+/+/#", frozenset()),
        ]
        for window in self._reading.read(asks):
            came.update(window)
        self._look_at_head(came.pop(topics.head, None))
        listed: set[str] = set()
        for topic, name in used.items():
            index = self._voice.opened(topic, came.pop(topic, None), Index)
            if index is None or index != self._roster.index(name):
                self._found.indexes.append(name)
            if index is not None:
                self._note(index.sequence)
                listed |= {subject for subject, _ in index.entries}
        for topic, payload in came.items():
            index = self._voice.opened(topic, payload, Index)
            self._note(index.sequence if index is not None else 0)
        self._found.strange |= came.keys()
        self._found.erased = listed - self._entries.keys()
        return listed

    def _look_at_head(self, payload: bytes | None) -> None:
        head = self._voice.opened(self._topics.head, payload, Head)
        if head is None:
            self._found.foreign = self._voice.foreign(self._topics.head, payload)
            return
        if head.sequence == self._sequence:
            self._found.head = head.sums == self._roster.head(0).sums
            if not self._found.head:
                number = head.sequence
                self._not_from_here(f"the broker has another roster of the same number {number}")
            # An equal roster is ours, even if it was published from a copy of this folder.
            self._attempted = self._sequence
        self._note(head.sequence)

    def _asks(self, listed: set[str]) -> list[Ask]:
        """One filter per shard, or one filter for a small roster."""
        expected: dict[str, set[str]] = {name: set() for name in shard_names()}
        for subject in self._entries.keys() | listed:
            expected[shard_of(subject)].add(self._voice.topic_of(subject))
        if len(self._entries) <= SMALL:
            everything = frozenset().union(*expected.values())
            return [Ask(f"{self._topics.base}/+/+/+", everything)]
        return [Ask(self._topics.whole_shard(n), frozenset(t)) for n, t in expected.items()]

    def _look_at_records(self, came: Mapping[str, bytes]) -> None:
        ours: dict[str, bytes] = {}
        for topic, payload in came.items():
            subject = topic.rpartition("/")[2]
            known = subject in self._entries and topic == self._voice.topic_of(subject)
            if not known:
                self._look_at_strange(topic, subject, payload)
            elif subject not in self._seen:
                self._seen.add(subject)
                if self._sent.get(topic) != digest(payload):
                    ours[subject] = payload
        for record in self._roster.records(ours):
            self._look_at_record(record, ours[record.subject])

    def _look_at_record(self, wanted: Record, payload: bytes) -> None:
        record = self._voice.opened(self._voice.topic_of(wanted.subject), payload, Record)
        if record == wanted:
            return
        self._found.changed.append(wanted.subject)
        if record is not None and record.revision >= wanted.revision:
            self._not_from_here(f"the broker has another record of {wanted.subject}")
        self._note(record.revision if record is not None else 0)

    def _look_at_strange(self, topic: str, subject: str, payload: bytes) -> None:
        self._found.strange.add(topic)
        if SUBJECT.fullmatch(subject):
            record = self._voice.opened(topic, payload, Record)
            self._note(record.revision if record is not None else 0)

    def _note(self, number: int) -> None:
        self._found.newest = max(self._found.newest, number)
        if number > self._attempted:
            self._not_from_here(ahead(number, self._attempted, self._sequence))

    def _not_from_here(self, why: str) -> None:
        self._found.other = self._found.other or why


def ahead(number: int, attempted: int, sequence: int) -> str:
    """Why a number at the broker or a device cannot come from this registry."""
    if number > sequence:
        return f"devices may hold roster number {number}, but this registry has {sequence}"
    return (
        f"devices may hold roster number {number}, but this registry published at most {attempted}"
    )


def survey(roster: RosterReader, voice: Voice, broker: Reads, told: Told, sent: Sent) -> Found:
    """Compare the broker with the registry."""
    return Survey(roster, voice, broker, told, sent).run()
