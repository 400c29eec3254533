"""What to request from the broker next, in a limited window, since brokers drop the excess."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ostiary.edge.roster.record import Head
from ostiary.edge.roster.replica import ReplicaState

FIRST_WINDOW, LEAST_WINDOW, LARGEST_WINDOW = 80, 20, 800
"""The sizes of the window: messages requested at once. The first one fits a broker that queues 100
messages, the largest one a broker that queues 1,000: Mosquitto's defaults, by version. A complete
window doubles the next one; a loss halves it, and on that connection it stays below the size at
which messages were lost."""
QUIET_S = 2.0
"""After so many seconds without a message, the requested messages that are missing were dropped."""
AGAIN_S, LONGEST_S = 1.0, 60.0
"""Shortest and longest delay before a topic is requested again that brought no usable message."""
STUCK = 3
"""Failed attempts on a topic after which the device reports it."""
INDEXES = 8
"""At most 1/INDEXES of a window are indexes; the window's records come in addition."""
RETRIES = 4
"""At most 1/RETRIES of a window are repeated requests: otherwise messages that the broker lacks
would keep out those that it has."""
SOON_S, SELDOM_S = 5.0, 300.0
"""Shortest and longest delay before the head is requested again; see `Reminder`."""


@dataclass(frozen=True, slots=True, eq=False)
class Want:
    """One topic filter to subscribe to: a shard's index (`subjects` empty), one of its records, or
    all of its records (`whole`)."""

    shard: str
    subjects: tuple[str, ...] = ()
    whole: bool = False

    @property
    def expected(self) -> int:
        """The number of messages that the subscription brings."""
        return max(1, len(self.subjects))


@dataclass(slots=True)
class _Patience:
    """Failed requests for a topic, the time of the last one, and the earliest time for the next."""

    tries: int = 0
    last_s: float = -math.inf
    not_before_s: float = -math.inf


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What to subscribe to (`ask`) and what to unsubscribe from (`leave`)."""

    ask: list[Want] = field(default_factory=list)
    leave: list[Want] = field(default_factory=list)


INDEX = ""
"""Used in place of a subject for the shard's index."""


class Reminder:
    """When to request a message again whose loss would not be noticed: every SELDOM_S, and after a
    sign of loss sooner, at growing intervals. No message delays the SELDOM_S request: otherwise an
    attacker could put it off by replaying old messages."""

    def __init__(self) -> None:
        self._wait_s, self._soon_s, self._seldom_s = SOON_S, math.inf, math.inf

    def seldom(self, now: float) -> None:
        """Note that the message was requested just now."""
        self._soon_s, self._seldom_s = math.inf, now + SELDOM_S

    def soon(self, now: float) -> None:
        """Note a sign that the message was lost."""
        self._wait_s, self._soon_s = SOON_S, min(self._soon_s, now + SOON_S)

    def calm(self) -> None:
        """Note that the missing message has come."""
        self._soon_s = math.inf

    def due(self, now: float) -> bool:
        """Whether to request the message now."""
        if now < min(self._soon_s, self._seldom_s):
            return False
        self._seldom_s = now + SELDOM_S
        if self._soon_s < math.inf:
            self._wait_s = min(2 * self._wait_s, SELDOM_S)
            self._soon_s = now + self._wait_s
        return True


class Pull:
    """Keeps count of what was requested and what came. Times (`now`) are monotonic seconds."""

    def __init__(self) -> None:
        self._window, self._came, self._ceiling = FIRST_WINDOW, 0, LARGEST_WINDOW
        self._open: dict[str, dict[str, Want]] = {}
        self._left: dict[Want, int] = {}
        self._patience: dict[str, dict[str, _Patience]] = {}
        self._done: list[Want] = []
        self._head: Head | None = None
        self._last_s = 0.0

    def start_over(self) -> None:
        """Start on a new connection: nothing is under way, and all may be requested at once."""
        # If the broker kept the session, unsubscribe from what the old connection had subscribed
        # to.
        self._done += self._left
        self._open.clear()
        self._left.clear()
        self._forgive()
        self._ceiling = LARGEST_WINDOW

    def arrived(self, shard: str, subject: str, now: float) -> None:
        """Note a message on the topic of a subject or, for INDEX, of a shard's index. The replica's
        state shows later if the message was of use."""
        want = self._open.get(shard, {}).pop(subject, None)
        if want is None:
            return
        # Count only requested messages: otherwise frequent changes could hide a loss for ever.
        self._last_s = now
        # If the message proves to be of no use, its topic is not requested again at once.
        self._postpone(shard, subject, now)
        self._came += 1
        self._left[want] -= 1
        if not self._left[want]:
            del self._left[want]
            self._done.append(want)

    def next(self, state: ReplicaState, unproven: Sequence[str], now: float) -> PullPlan:
        """The next requests, if the window has room, for the `unproven` shards of the state."""
        if state.head is not self._head:
            # The operator has just published: topics that brought nothing usable may now do so.
            self._head = state.head
            self._forgive()
        plan = PullPlan(leave=self._done + self._give_up(now))
        self._done = []
        if self._came >= self._window:
            self._window, self._came = min(2 * self._window, self._ceiling), 0
        free = self._window - self.under_way
        if 2 * free >= self._window:
            self._fill(plan.ask, state, unproven, free, now)
        return plan

    @property
    def under_way(self) -> int:
        """The number of requested messages that have not come yet."""
        return sum(self._left.values())

    def stuck(self) -> int:
        """The number of topics that repeatedly brought no usable message."""
        return sum(p.tries >= STUCK for shard in self._patience.values() for p in shard.values())

    def _fill(
        self, ask: list[Want], state: ReplicaState, unproven: Sequence[str], free: int, now: float
    ) -> None:
        for shard in self._patience.keys() - set(unproven):
            del self._patience[shard]
        # Finish shards that have an index first: their outdated subjects wait for a new record.
        begun = [shard for shard in unproven if state.shard(shard).index is not None]
        later = 0
        for shard in begun:
            asked = self._open.get(shard, {}).keys() | self._patience.get(shard, {}).keys()
            fresh = [subject for subject in state.shard(shard).missing() if subject not in asked]
            took = self._ask_records(ask, state, shard, fresh, free, now)
            free, later = free - took, later + max(0, len(fresh) - took)
        self._ask_again(ask, state, begun, free, now)
        self._ask_indexes(ask, state, unproven, self._window - later, now)

    def _ask_again(
        self, ask: list[Want], state: ReplicaState, begun: Sequence[str], free: int, now: float
    ) -> None:
        """Request again some of what did not come, the longest-waiting first."""
        room = min(free, self._window // RETRIES - self._retried())
        due: dict[str, list[str]] = {}
        for _, shard, subject in heapq.nsmallest(max(0, room), self._due(state, begun, now)):
            due.setdefault(shard, []).append(subject)
        for shard, subjects in due.items():
            room -= self._ask_records(ask, state, shard, subjects, room, now)

    def _retried(self) -> int:
        """The number of messages under way that had been requested before."""
        patience = self._patience
        return sum(
            len(open_.keys() & patience.get(n, {}).keys()) for n, open_ in self._open.items()
        )

    def _due(
        self, state: ReplicaState, begun: Sequence[str], now: float
    ) -> Iterator[tuple[float, str, str]]:
        """Subjects to request again: (last request, shard, subject)."""
        for shard in begun:
            held, index = state.shard(shard).held, state.shard(shard).index or {}
            for subject, patience in self._patience.get(shard, {}).items():
                if subject in index and subject not in held and self._may(shard, subject, now):
                    yield patience.last_s, shard, subject

    def _ask_indexes(
        self, ask: list[Want], state: ReplicaState, unproven: Sequence[str], room: int, now: float
    ) -> None:
        """Request the indexes of as many shards as have records for the next window."""
        assert state.head is not None or not unproven
        counts = {} if state.head is None else {n: state.head.sum_of(n).count for n in unproven}
        asked = {shard for shard, subjects in self._open.items() if INDEX in subjects}
        room -= sum(counts.get(shard, 0) for shard in asked)
        indexes = len(asked)
        for shard in sorted(unproven, key=lambda shard: self._last_asked_s(shard, INDEX)):
            if state.shard(shard).index is not None or not self._may(shard, INDEX, now):
                continue
            # Request one index whatever its shard's size, so that a large shard is not left out for
            # ever.
            full = counts[shard] > room or indexes >= self._window // INDEXES
            if (indexes or room <= 0) and full:
                return
            indexes, room = indexes + 1, room - counts[shard]
            self._ask(ask, Want(shard), now)

    def _ask_records(
        self,
        ask: list[Want],
        state: ReplicaState,
        shard: str,
        missing: Sequence[str],
        room: int,
        now: float,
    ) -> int:
        """Request missing records of a shard, up to `room` messages; returns how many will come."""
        everybody = state.shard(shard).index or {}
        if missing and 2 * len(missing) >= len(everybody) <= room and not self._open.get(shard):
            self._ask(ask, Want(shard, tuple(everybody), whole=True), now)
            return len(everybody)
        for subject in missing[:room]:
            self._ask(ask, Want(shard, (subject,)), now)
        return len(missing[:room])

    def _ask(self, ask: list[Want], want: Want, now: float) -> None:
        self._last_s = now
        self._left[want] = want.expected
        self._open.setdefault(want.shard, {}).update((s, want) for s in want.subjects or (INDEX,))
        ask.append(want)

    def _give_up(self, now: float) -> list[Want]:
        """After QUIET_S without a message: give up the open requests, and shrink the window."""
        if not self._left or now - self._last_s < QUIET_S:
            return []
        # If all open requests were repeated ones, the loss says nothing about the broker's queue.
        first = self._retried() < self.under_way
        for shard, subjects in self._open.items():
            for subject in subjects:
                self._postpone(shard, subject, now)
        lost = list(self._left)
        self._open.clear()
        self._left.clear()
        if first:
            self._ceiling = max(self._window // 2, FIRST_WINDOW)
            self._window, self._came = max(self._window // 2, LEAST_WINDOW), 0
        return lost

    def _forgive(self) -> None:
        """Allow every request at once; the order of requests is kept."""
        for patience in (p for shard in self._patience.values() for p in shard.values()):
            patience.tries, patience.not_before_s = 0, -math.inf

    def _may(self, shard: str, subject: str, now: float) -> bool:
        if subject in self._open.get(shard, ()):
            return False
        patience = self._patience.get(shard, {}).get(subject)
        return patience is None or now >= patience.not_before_s

    def _last_asked_s(self, shard: str, subject: str) -> float:
        patience = self._patience.get(shard, {}).get(subject)
        return -math.inf if patience is None else patience.last_s

    def _postpone(self, shard: str, subject: str, now: float) -> None:
        patience = self._patience.setdefault(shard, {}).setdefault(subject, _Patience())
        patience.last_s = now
        patience.not_before_s = now + min(AGAIN_S * 2**patience.tries, LONGEST_S)
        patience.tries = min(patience.tries + 1, 16)
