"""Keeps this device's roster equal to the operator's, through link, replica, store and members."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Filter
from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.remote.excuses import LATE, NOTHING, Suspicion
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.restore import Says, restore
from ostiary.edge.roster import replica
from ostiary.edge.roster.changes import Changes, Drop, Message, Put, Refused, Sealed
from ostiary.edge.roster.pull import INDEX, Pull, Reminder, Want
from ostiary.edge.roster.record import total
from ostiary.edge.roster.replica import ReplicaState
from ostiary.edge.wire import RosterMessage, RosterTopics

AT_ONCE = 400
"""The most messages in one turn of the loop: 10 ms of work, so that recognition is not delayed."""
SAY_EVERY_S, RETRY_S, ABSENT_S = 1.0, 5.0, 10.0


class SyncLink(Protocol):
    """The part of `ostiary.edge.adapters.mqtt.link.Link` that is needed here."""

    connected: bool
    connection: int

    def subscribe(self, filters: Sequence[Filter]) -> bool: ...

    def unsubscribe(self, topics: Sequence[str]) -> bool: ...

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> bool: ...


class Syncer:
    """Follows the roster from the loop; the mailbox holds the messages that have come."""

    def __init__(
        self,
        topics: RosterTopics,
        acknowledge: str,
        mailbox: Mailbox,
        store: RosterStore,
        members: Members,
        says: Says,
        wall: Callable[[], float],
    ) -> None:
        """Add the stored subjects to the members; `acknowledge` is the topic for reports of what is
        held.

        Raises StoreError if the store cannot be read.
        """
        self._topics, self._acknowledge, self._mailbox = topics, acknowledge, mailbox
        self._store, self._members = store, members
        self._says, self._wall = says, wall
        self._pull = Pull()
        self._connection = 0
        self._absent = False
        self._suspicion = Suspicion()
        # The previous process may have ended before it cleaned the disk.
        self._scrub = True
        self._late = ""
        self._reminder, self._newest, self._stuck = Reminder(), 0, 0
        self._connected_s = self._said_s = self._scrub_after_s = 0.0
        self._failed_s: float | None = None
        self._failing_since_s: float | None = None
        self._sent: RosterMessage | None = None
        self.state = restore(topics, mailbox, store, members, says)
        self._unproven = self.state.unproven()

    @property
    def complete(self) -> bool:
        """Whether the device holds exactly what the newest head sums up."""
        return self.state.head is not None and not self._unproven

    @property
    def issued_at_s(self) -> float:
        """When the operator signed the newest head, in seconds since 1970; 0 without a head."""
        return 0.0 if self.state.head is None else self.state.head.issued_at_s

    def turn(self, link: SyncLink, now: float) -> None:
        """Apply new messages, request missing ones, report what is held; `now` is monotonic."""
        self._take(now)
        if not link.connected:
            return
        retry = self._failed_s is not None and now - self._failed_s > RETRY_S and self._try(now)
        if (link.connection != self._connection or retry) and not self._begin(link, now):
            return
        if self._failed_s is None:
            self._ask(link, now)
        if self._reminder.due(now):
            link.subscribe([Filter(self._topics.head)])
        self._watch(now)
        self._say(link, now)

    def failing_s(self, now: float) -> float:
        """Seconds since the store began to fail; 0 if it works."""
        return 0.0 if self._failing_since_s is None else now - self._failing_since_s

    def _try(self, now: float) -> bool:
        """True if the store works; after a failure, a trial write shows if it does again."""
        try:
            self._store.apply([], [], None, total(self.state.sums()))
        except StoreError as error:
            self._failed_s = now
            if self._store.damaged(error):
                self._begin_anew()
            return False
        self._failing_since_s = None
        return True

    def _begin(self, link: SyncLink, now: float) -> bool:
        """On a new connection: subscribe to live records and to the head. False if that fails."""
        connection = link.connection
        live = Filter(self._topics.every_subject, replay=False)
        if not link.subscribe([live, Filter(self._topics.head)]):
            return False
        self._connection, self._connected_s, self._late = connection, now, ""
        self._pull.start_over()
        self._reminder.seldom(now)
        self._failed_s, self._absent = None, False
        self._sent = None
        return True

    def _take(self, now: float) -> None:
        # Compared by identity: of two equal messages only one may be excused.
        messages, excuses = list[Message](), dict[int, frozenset[str]]()
        for mail in self._mailbox.take(AT_ONCE):
            excused = self._suspicion.excused(mail)
            if isinstance(mail.opened, SealError):
                self._says("roster-refused", mail.opened.reason, "/".join(mail.topic))
            else:
                messages.append(mail.opened)
                excuses[id(mail.opened)] = excused
            if mail.topic[0] != "head":
                subject = mail.topic[2] if mail.topic[0] == "subject" else INDEX
                self._pull.arrived(mail.topic[1], subject, now)
        if messages:
            self._apply(messages, excuses, now)

    def _apply(
        self, messages: Sequence[Message], excuses: Mapping[int, frozenset[str]], now: float
    ) -> None:
        state, changes = replica.step(self.state, messages)
        unproven = state.unproven()
        behind = bool(self._unproven or unproven) or changes.head is not None
        for refused in changes.refused:
            # A message of an earlier turn has no entry: it is refused only while the device is
            # behind.
            excused = excuses.get(id(refused.message), NOTHING)
            self._refuse(refused, excused | LATE if behind else excused)
        if changes.steps or changes.head is not None:
            try:
                self._keep(changes, state)
            except StoreError as error:
                self._fail(error, changes, now)
                return
        self.state, self._unproven = state, unproven
        self._members.follow(changes.steps)
        self._remind(messages, now)

    def _remind(self, messages: Sequence[Message], now: float) -> None:
        """After each record a head should follow; if it was lost, it is requested again soon."""
        newest = max((m.record.revision for m in messages if isinstance(m, Sealed)), default=0)
        known = 0 if self.state.head is None else self.state.head.sequence
        if known >= max(newest, self._newest):
            self._reminder.calm()
        elif newest > self._newest:
            self._reminder.soon(now)
        self._newest = max(newest, self._newest)

    def _keep(self, changes: Changes, state: ReplicaState) -> None:
        # If a subject has several steps, the last one counts.
        last = {_subject(step): step for step in changes.steps}
        rows = [_row(step.sealed) for step in last.values() if isinstance(step, Put)]
        dropped = [step.subject for step in last.values() if isinstance(step, Drop)]
        head = changes.head.payload if changes.head is not None else None
        self._store.apply(rows, dropped, head, total(state.sums()))
        self._scrub |= any(_takes(step) for step in last.values())

    def _fail(self, error: StoreError, changes: Changes, now: float) -> None:
        """After a failed write: bar the subjects whose change cannot be stored, until it can."""
        self._says("store-failed", "roster", error.message)
        self._failed_s = now
        if self._failing_since_s is None:
            self._failing_since_s = now
        steps = changes.steps
        self._members.follow([s if _takes(s) else Drop(_subject(s)) for s in steps])
        if self._store.damaged(error):
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Replace a damaged file: nobody has access until the broker has sent the roster again."""
        held = [subject for shard in self.state.shards.values() for subject in shard.held]
        self._members.follow([Drop(subject) for subject in held])
        self.state, self._unproven = ReplicaState(), []
        with contextlib.suppress(StoreError):
            self._store.begin_anew()

    def _refuse(self, refused: Refused, excused: frozenset[str]) -> None:
        if refused.reason not in excused:
            self._says("roster-refused", refused.reason, refused.about)
        elif self._unproven and refused.reason in LATE:
            self._late = f", the last: {refused.reason}: {refused.about}"

    def _ask(self, link: SyncLink, now: float) -> None:
        plan = self._pull.next(self.state, self._unproven, now)
        if plan.leave:
            link.unsubscribe([self._topic(want) for want in plan.leave])
        if plan.ask:
            # QoS 0: records are checked against the index anyway, and QoS 1 would slow down the
            # transfer.
            link.subscribe([Filter(self._topic(want), qos=0) for want in plan.ask])

    def _topic(self, want: Want) -> str:
        if want.whole:
            return self._topics.whole_shard(want.shard)
        if not want.subjects:
            return self._topics.index(want.shard)
        return self._topics.subject(want.shard, want.subjects[0])

    def _watch(self, now: float) -> None:
        """Report once that the roster does not come or stays incomplete."""
        stuck = self._pull.stuck()
        if stuck and not self._stuck:
            text = f"{stuck} topics do not bring what the index says{self._late}"
            self._says("roster-incomplete", "missing", text)
        self._stuck = stuck
        if self.state.head is None and not self._absent and now - self._connected_s > ABSENT_S:
            self._absent = True
            self._says(
                "roster-absent", "no-head", "the broker holds none: run `ostiary-fleet publish`"
            )

    def _say(self, link: SyncLink, now: float) -> None:
        """Publish what is held: at once if complete, otherwise at most once a second."""
        if self.complete:
            self._clean(now)
        # Report completeness only after dropped records are wiped from the disk: an erasure waits
        # for it.
        complete = self.complete and not self._scrub
        if not complete and self._sent is not None and now - self._said_s < SAY_EVERY_S:
            return
        message = self.message(complete)
        if message == self._sent:
            return
        dated = msgspec.structs.replace(message, at=wire.utc(self._wall()))
        if link.publish(self._acknowledge, wire.encode(dated), retain=True):
            self._sent, self._said_s = message, now

    def _clean(self, now: float) -> None:
        if not self._scrub or now < self._scrub_after_s:
            return
        try:
            self._scrub = not self._store.scrub()
        except StoreError as error:
            self._says("store-failed", "roster", error.message)
        if self._scrub:
            self._scrub_after_s = now + SAY_EVERY_S

    def message(self, complete: bool) -> RosterMessage:
        """The message that reports what is held, without the time."""
        state, members = self.state, self._members
        return RosterMessage(
            sequence=0 if state.head is None else state.head.sequence,
            digest=total(state.sums()),
            complete=complete,
            subjects=len(members),
            usable=members.usable,
            encoder=members.encoder,
            coverage={encoder: count for encoder, count in members.coverage.items() if count},
            at="",
            issued_at=wire.utc(self.issued_at_s) if state.head is not None else None,
            missing=sum(len(state.shard(name).missing()) for name in self._unproven),
        )


def _subject(step: Put | Drop) -> str:
    return step.subject if isinstance(step, Drop) else step.sealed.record.subject


def _takes(step: Put | Drop) -> bool:
    """Whether a step takes rights away."""
    return isinstance(step, Drop) or step.sealed.record.gone or step.sealed.record.suspended


def _row(sealed: Sealed) -> RosterRow:
    return RosterRow(sealed.record.subject, sealed.record.revision, sealed.payload)
