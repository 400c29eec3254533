"""Restores the stored roster: each message is opened and checked as if it had just come."""

from __future__ import annotations

from collections.abc import Callable

from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.roster import replica
from ostiary.edge.roster.changes import Drop, Put, Sealed, SealedHead
from ostiary.edge.roster.record import Head, shard_of, total
from ostiary.edge.roster.replica import ReplicaState
from ostiary.edge.wire import RosterTopics

AT_ONCE = 400

Says = Callable[[str, str, str], None]
"""A function that reports an event: (event, reason, details)."""


def restore(
    topics: RosterTopics, mailbox: Mailbox, store: RosterStore, members: Members, says: Says
) -> ReplicaState:
    """The replica's state from the store; its subjects are added to the members.

    A file that SQLite finds damaged is deleted, since the broker has all its content. Raises
    StoreError if the disk fails in another way.
    """
    restoring = _Restoring(topics, mailbox, store, members, says)
    try:
        return restoring.state()
    except StoreError as error:
        if not store.damaged(error):
            raise
        restoring.forget()
        says("store-failed", "damaged", f"the roster is fetched again: {error.message}")
        store.begin_anew()
        return ReplicaState()


def open_head(topics: RosterTopics, mailbox: Mailbox, payload: bytes) -> Head:
    """Open the stored head. Raises SealError."""
    opened = mailbox.open(topics.head, payload)
    assert isinstance(opened, SealedHead)
    return opened.head


def open_row(topics: RosterTopics, mailbox: Mailbox, row: RosterRow) -> Sealed:
    """Open a stored record. Raises SealError, also if the row's subject is not a valid id."""
    try:
        topic = topics.subject(shard_of(row.subject), row.subject)
    except UnicodeEncodeError as error:
        raise SealError("malformed", "not a subject id") from error
    opened = mailbox.open(topic, row.payload)
    assert isinstance(opened, Sealed)
    return opened


class _Restoring:
    def __init__(
        self,
        topics: RosterTopics,
        mailbox: Mailbox,
        store: RosterStore,
        members: Members,
        says: Says,
    ) -> None:
        self._topics, self._mailbox, self._store = topics, mailbox, store
        self._members, self._says = members, says
        self._held: dict[str, int] = {}

    def state(self) -> ReplicaState:
        payload = self._store.head()
        if payload is None:
            return ReplicaState()
        try:
            head = open_head(self._topics, self._mailbox, payload)
        except SealError as error:
            # Without a valid head nobody is let in: its operator may no longer be trusted.
            self._says("roster-refused", error.reason, "the head in the store")
            self._store.clear()
            return ReplicaState()
        refused = self._take_rows()
        state = replica.restored(head, self._held)
        if total(state.sums()) != self._store.digest():
            self._says(
                "roster-refused", "store-changed", "the store's records do not match its digest"
            )
        outdated = self._outdated(state, head)
        if refused or outdated:
            state = replica.restored(head, self._held)
            self._store.apply([], refused + outdated, None, total(state.sums()))
        return state

    def _outdated(self, state: ReplicaState, head: Head) -> list[str]:
        """Drop the records of shards that differ from the head: the power failed when the head was
        stored and their new records were not. Records newer than the head stay, since they may take
        rights away. Returns the dropped subjects."""
        held = [(s, r) for name in state.unproven() for s, r in state.shard(name).held.items()]
        gone = [subject for subject, revision in held if revision <= head.sequence]
        self._members.follow([Drop(subject) for subject in gone])
        for subject in gone:
            del self._held[subject]
        return gone

    def forget(self) -> None:
        """Remove all restored subjects from the members again."""
        self._members.follow([Drop(subject) for subject in self._held])

    def _take_rows(self) -> list[str]:
        """Add the subjects with a good record to the members; returns the ids of the others."""
        refused, steps = [], []
        for row in self._store.rows():
            sealed = self._opened(row)
            if sealed is None:
                refused.append(row.subject)
                continue
            self._held[row.subject] = sealed.record.revision
            steps.append(Put(sealed))
            if len(steps) >= AT_ONCE:
                self._members.follow(steps)
                steps = []
        self._members.follow(steps)
        return refused

    def _opened(self, row: RosterRow) -> Sealed | None:
        try:
            return open_row(self._topics, self._mailbox, row)
        except SealError as error:
            self._says("roster-refused", error.reason, "a record in the store")
            return None
