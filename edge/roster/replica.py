"""The device's copy of the roster: a pure reducer from messages to changes; no clock, no IO.

Its rules hold for any order, loss, repetition and replay of genuine messages:

1. The head with the highest sequence counts; the roster that it sums up is true. The sequence
   never falls.
2. A record gives access only if the index that the head sums up has it at the same revision. A
   shard is proven by its digest alone if possible, else by its index.
3. A record can take rights away before a head confirms it (a tombstone, a suspension), but never
   give any. What it took stays taken until a head at least as new as the record decides.
4. A revision is the roster's sequence number at the subject's last change. So a record that is not
   newer than the head and not in the index is obsolete, whatever else was received.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ostiary.edge.roster.changes import Changes, Drop, Message, Put, Refused, Sealed, SealedHead
from ostiary.edge.roster.record import (
    EMPTY,
    Head,
    Index,
    Record,
    Sum,
    shard_names,
    shard_of,
    sum_of,
)

MOST_WAITING = 64
"""Records that a shard keeps before a head proves them, in addition to its number of entries."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the 256 shards. `held` maps subject to revision: records in force and tombstones.
    `sum` sums up `held`, `waiting` are records without proof yet, and `index` is the index that the
    head sums up, kept while it is needed."""

    held: Mapping[str, int] = field(default_factory=dict)
    sum: Sum = EMPTY
    waiting: Mapping[str, Sealed] = field(default_factory=dict)
    index: Mapping[str, int] | None = None

    def missing(self) -> list[str]:
        """The subjects in the index whose record has not come yet, sorted."""
        if self.index is None:
            return []
        # Subjects held at an older revision were dropped when the index came.
        return sorted(self.index.keys() - self.held.keys())


NOTHING = Shard()


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """Everything that the replica knows; immutable."""

    head: Head | None = None
    shards: Mapping[str, Shard] = field(default_factory=lambda: MappingProxyType({}))

    def shard(self, name: str) -> Shard:
        return self.shards.get(name, NOTHING)

    def unproven(self) -> list[str]:
        """The shards that differ from the head, sorted; empty if none differs or no head came."""
        if self.head is None:
            return []
        return [n for n in shard_names() if self.shard(n).sum != self.head.sum_of(n)]

    def sums(self) -> list[Sum]:
        """The sums of all shards; `record.total` makes one digest of them."""
        return [self.shard(name).sum for name in shard_names()]

    def __len__(self) -> int:
        """The number of subjects held, tombstones included."""
        return sum(shard.sum.count for shard in self.shards.values())


def restored(head: Head | None, held: Mapping[str, int]) -> ReplicaState:
    """The state of a device that starts from its store: the head, and each subject's revision."""
    shards: dict[str, dict[str, int]] = {}
    for subject, revision in held.items():
        shards.setdefault(shard_of(subject), {})[subject] = revision
    made = {name: Shard(entries, sum_of(entries)) for name, entries in shards.items()}
    return ReplicaState(head, MappingProxyType(made))


def step(state: ReplicaState, messages: Iterable[Message]) -> tuple[ReplicaState, Changes]:
    """The next state and the changes to make; a call with many messages is cheaper than many calls.

    The messages must have been opened, which shows that they are genuine and on their own topic.
    """
    work = _Work(state)
    for message in messages:
        if isinstance(message, SealedHead):
            work.take_head(message)
        elif isinstance(message, Index):
            work.take_index(message)
        else:
            work.take_record(message)
    return work.done()


class _Draft:
    """A mutable copy of a shard during one step; the state itself is not changed."""

    def __init__(self, shard: Shard) -> None:
        self.held, self.waiting = dict(shard.held), dict(shard.waiting)
        self.index, self.sum = shard.index, shard.sum

    def frozen(self) -> Shard:
        return Shard(self.held, self.sum, self.waiting, self.index)


class _Work:
    """One call of `step`."""

    def __init__(self, state: ReplicaState) -> None:
        self._state, self._head = state, state.head
        self._drafts: dict[str, _Draft] = {}
        self._steps: list[Put | Drop] = []
        self._refused: list[Refused] = []
        self._new_head: SealedHead | None = None

    def done(self) -> tuple[ReplicaState, Changes]:
        for name in sorted(self._drafts):
            self._settle(name)
        shards = dict(self._state.shards)
        shards.update((name, draft.frozen()) for name, draft in self._drafts.items())
        state = ReplicaState(self._head, MappingProxyType(shards))
        return state, Changes(tuple(self._steps), self._new_head, tuple(self._refused))

    def take_head(self, sealed: SealedHead) -> None:
        new, old = sealed.head, self._head
        if old is not None and new.sequence < old.sequence:
            return self._refuse(sealed, "old-head", f"sequence {new.sequence} after {old.sequence}")
        if old is not None and new.sequence == old.sequence:
            if new.sums != old.sums:
                return self._refuse(
                    sealed, "conflicting-head", f"two different heads of sequence {new.sequence}"
                )
            if new.issued_at_s <= old.issued_at_s:
                return None
        self._head, self._new_head = new, sealed
        for name in shard_names():
            if old is None or new.sum_of(name) != old.sum_of(name):
                self._draft(name).index = None
            elif (shard := self._state.shard(name)).waiting or shard.index is not None:
                self._draft(name)
        return None

    def take_index(self, index: Index) -> None:
        if (head := self._head) is None:
            return
        entries = dict(index.entries)
        if sum_of(entries) == head.sum_of(index.shard):
            self._draft(index.shard).index = entries
        elif index.sequence <= head.sequence:
            self._refuse(index, "old-index", f"shard {index.shard} of sequence {index.sequence}")

    def take_record(self, sealed: Sealed) -> None:
        record, subject = sealed.record, sealed.record.subject
        draft = self._draft(shard_of(subject))
        held = draft.held.get(subject, 0)
        if record.revision <= held:
            if record.revision < held:
                self._refuse(sealed, "old-record", f"{subject} at revision {record.revision}")
            return
        if held and (record.gone or record.suspended) and not self._decided(draft, record):
            # Taking rights away does not wait for the head.
            self._put(draft, sealed)
            return
        waiting = draft.waiting.get(subject)
        if waiting is None or record.revision > waiting.record.revision:
            draft.waiting[subject] = sealed

    def _decided(self, draft: _Draft, record: Record) -> bool:
        """Whether the head has already decided about this record's subject."""
        if (head := self._head) is None or record.revision > head.sequence:
            return False
        return draft.index is not None or draft.sum == head.sum_of(shard_of(record.subject))

    def _settle(self, name: str) -> None:
        """Move proven records from `waiting` to `held`, drop obsolete ones, update the sum."""
        draft = self._drafts[name]
        draft.sum = sum_of(draft.held)
        if self._head is not None:
            want = self._head.sum_of(name)
            self._prove(draft, self._head, want)
            if draft.sum == want or draft.index is not None:
                self._bury(draft, self._head)
        _trim(draft)

    def _prove(self, draft: _Draft, head: Head, want: Sum) -> None:
        if draft.sum != want and draft.index is None:
            self._prove_without_index(draft, head, want)
        if draft.sum != want and want == EMPTY:
            draft.index = {}
        if draft.sum != want and draft.index is not None:
            self._follow_index(draft, head, draft.index)
            draft.sum = sum_of(draft.held)
        if draft.sum == want:
            draft.index = None

    def _prove_without_index(self, draft: _Draft, head: Head, want: Sum) -> None:
        """Accept the waiting records if the head's digest shows that they complete the shard."""
        due = {s: w for s, w in draft.waiting.items() if w.record.revision <= head.sequence}
        would = {**draft.held, **{s: w.record.revision for s, w in due.items()}}
        if due and sum_of(would) == want:
            for sealed in due.values():
                self._put(draft, sealed)
            draft.sum = want

    def _follow_index(self, draft: _Draft, head: Head, index: Mapping[str, int]) -> None:
        for subject, revision in index.items():
            waiting = draft.waiting.get(subject)
            if waiting is not None and waiting.record.revision == revision:
                self._put(draft, waiting)
        for subject, held in sorted(draft.held.items()):
            # Drop an old revision: the newer record may revoke the subject. But keep a record that
            # took rights away before its head came: dropped, an older head could restore them.
            if held <= head.sequence and index.get(subject) != held:
                self._drop(draft, subject)

    def _bury(self, draft: _Draft, head: Head) -> None:
        """Refuse waiting records that are not newer than the head, which has decided about them."""
        for subject, sealed in list(draft.waiting.items()):
            if (revision := sealed.record.revision) <= head.sequence:
                del draft.waiting[subject]
                self._refuse(sealed, "not-in-index", f"{subject} at revision {revision}")

    def _put(self, draft: _Draft, sealed: Sealed) -> None:
        subject, revision = sealed.record.subject, sealed.record.revision
        draft.held[subject] = revision
        if subject in draft.waiting and draft.waiting[subject].record.revision <= revision:
            del draft.waiting[subject]
        self._steps.append(Put(sealed))

    def _drop(self, draft: _Draft, subject: str) -> None:
        del draft.held[subject]
        self._steps.append(Drop(subject))

    def _draft(self, name: str) -> _Draft:
        if name not in self._drafts:
            self._drafts[name] = _Draft(self._state.shard(name))
        return self._drafts[name]

    def _refuse(self, message: Message, reason: str, about: str) -> None:
        self._refused.append(Refused(message, reason, about))


def _trim(draft: _Draft) -> None:
    """Keep only the newest waiting records: a flood of replayed ones must not fill the memory."""
    most = MOST_WAITING + len(draft.held)
    if len(draft.waiting) > most:
        newest = sorted(draft.waiting, key=lambda s: -draft.waiting[s].record.revision)[:most]
        draft.waiting = {subject: draft.waiting[subject] for subject in newest}
