"""The roster as a device stored it: opened and checked as if it had just come."""

from __future__ import annotations

from collections.abc import Callable

from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.roster import replica
from ostiary.edge.roster.changes import Drop, Put, Sealed, SealedHead
from ostiary.edge.roster.record import Head, shard_of, total
from ostiary.edge.roster.replica import State
from ostiary.edge.wire import RosterTopics

AT_ONCE = 400

Says = Callable[[str, str, str], None]
"""(event, reason, about what)."""


def restore(
    topics: RosterTopics, mailbox: Mailbox, store: RosterStore, members: Members, says: Says
) -> State:
    """The state of what is stored, with everybody in it among the members.

    A file that SQLite finds damaged is removed, for the broker has all that was in it. Raises
    StoreError where the disk fails otherwise.
    """
    restoring = _Restoring(topics, mailbox, store, members, says)
    try:
        return restoring.state()
    except StoreError as error:
        if not store.damaged(error):
            raise
        restoring.forget()
        says("store-failed", "damaged", f"the roster is read anew: {error.message}")
        store.begin_anew()
        return State()


def open_head(topics: RosterTopics, mailbox: Mailbox, payload: bytes) -> Head:
    """The head that is stored. Raises SealError."""
    opened = mailbox.open(topics.head, payload)
    assert isinstance(opened, SealedHead)
    return opened.head


def open_row(topics: RosterTopics, mailbox: Mailbox, row: RosterRow) -> Sealed:
    """A record that is stored. Raises SealError, also for a subject's id that can be none."""
    try:
        topic = topics.subject(shard_of(row.subject), row.subject)
    except UnicodeEncodeError as error:
        raise SealError("malformed", "no subject's id") from error
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

    def state(self) -> State:
        payload = self._store.head()
        if payload is None:
            return State()
        try:
            head = open_head(self._topics, self._mailbox, payload)
        except SealError as error:
            # Without a head nobody is let in: it may be the operator who is not trusted any more.
            self._says("roster-refused", error.reason, "the head in the store")
            self._store.clear()
            return State()
        refused = self._take_rows()
        state = replica.restored(head, self._held)
        if total(state.sums()) != self._store.digest():
            self._says("roster-refused", "store-changed", "what the store holds is not what it was")
        outdated = self._outdated(state, head)
        if refused or outdated:
            state = replica.restored(head, self._held)
            self._store.apply([], refused + outdated, None, total(state.sums()))
        return state

    def _outdated(self, state: State, head: Head) -> list[str]:
        """Let go of the shards that the head has proven otherwise: it came, and the power failed
        before their records did. What took rights away ahead of its head stays."""
        held = [(s, r) for name in state.unproven() for s, r in state.shard(name).held.items()]
        gone = [subject for subject, revision in held if revision <= head.sequence]
        self._members.follow([Drop(subject) for subject in gone])
        for subject in gone:
            del self._held[subject]
        return gone

    def forget(self) -> None:
        """Nobody of those who were taken over is let in."""
        self._members.follow([Drop(subject) for subject in self._held])

    def _take_rows(self) -> list[str]:
        """Everybody whose record is good into the members; the others' ids."""
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
