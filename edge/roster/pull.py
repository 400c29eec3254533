"""What to ask the broker for next: a window at a time, since a default broker drops the rest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ostiary.edge.roster.record import Head
from ostiary.edge.roster.replica import ReplicaState

FIRST_WINDOW, LEAST_WINDOW, LARGEST_WINDOW = 80, 20, 800
"""Messages under way at once: the first fits a broker that queues 100, the largest one that queues
1,000, as Mosquitto's defaults are by version. A window that comes whole doubles, a loss halves,
and on that connection it grows no more to where the loss was."""
QUIET_S = 2.0
"""What was asked for and has not come after so long without any message was dropped."""
AGAIN_S, LONGEST_S = 1.0, 60.0
"""A topic that did not bring what the index says is asked for again then, each time later."""
STUCK = 3
"""Vain attempts after which somebody should know."""
INDEXES = 8
"""Of a window, one in so many may be an index, beside the records: a few more than it says."""
RETRIES = 4
"""Of a window, one in so many may be what was asked for before: else what the broker has not would
keep out what it has."""
SOON_S, SELDOM_S = 5.0, 300.0
"""The head is asked for again at first and at last, see `Reminder`."""


@dataclass(frozen=True, slots=True, eq=False)
class Want:
    """One filter to subscribe to: an index (`subjects` empty), one record of a shard, or, with
    `whole`, all of its records."""

    shard: str
    subjects: tuple[str, ...] = ()
    whole: bool = False

    @property
    def expected(self) -> int:
        """How many messages it brings."""
        return max(1, len(self.subjects))


@dataclass(slots=True)
class _Patience:
    """How often a topic was asked for in vain, when last, and when it may be asked again."""

    tries: int = 0
    last_s: float = -math.inf
    not_before_s: float = -math.inf


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What to subscribe to and what to unsubscribe from."""

    ask: list[Want] = field(default_factory=list)
    leave: list[Want] = field(default_factory=list)


INDEX = ""
"""Stands for a shard's index where else a subject stands."""


class Reminder:
    """When to ask again for what nobody would miss: seldom, and soon after a sign that it was lost,
    then ever later. No message moves the seldom time: who replays old ones must not put it off."""

    def __init__(self) -> None:
        self._wait_s, self._soon_s, self._seldom_s = SOON_S, math.inf, math.inf

    def seldom(self, now: float) -> None:
        """It was asked for just now."""
        self._soon_s, self._seldom_s = math.inf, now + SELDOM_S

    def soon(self, now: float) -> None:
        """There is a sign."""
        self._wait_s, self._soon_s = SOON_S, min(self._soon_s, now + SOON_S)

    def calm(self) -> None:
        """What the sign was about has come."""
        self._soon_s = math.inf

    def due(self, now: float) -> bool:
        """Whether to ask now."""
        if now < min(self._soon_s, self._seldom_s):
            return False
        self._seldom_s = now + SELDOM_S
        if self._soon_s < math.inf:
            self._wait_s = min(2 * self._wait_s, SELDOM_S)
            self._soon_s = now + self._wait_s
        return True


class Pull:
    """The bookkeeping of what was asked for. Time comes in as monotonic seconds."""

    def __init__(self) -> None:
        self._window, self._came, self._ceiling = FIRST_WINDOW, 0, LARGEST_WINDOW
        self._open: dict[str, dict[str, Want]] = {}
        self._left: dict[Want, int] = {}
        self._patience: dict[str, dict[str, _Patience]] = {}
        self._done: list[Want] = []
        self._head: Head | None = None
        self._last_s = 0.0

    def start_over(self) -> None:
        """Nothing is under way on a new connection; nobody has to wait for old failures."""
        # A broker that kept our session still has us subscribed to it.
        self._done += self._left
        self._open.clear()
        self._left.clear()
        self._forgive()
        self._ceiling = LARGEST_WINDOW

    def arrived(self, shard: str, subject: str, now: float) -> None:
        """A message came on the topic of a subject, or of a shard's INDEX; whether it was any good
        shows in the state."""
        want = self._open.get(shard, {}).pop(subject, None)
        if want is None:
            return
        # Only for what was asked: else a busy operator's changes would hide for ever what was lost.
        self._last_s = now
        # Should it turn out to be no good, it is not asked for again at once.
        self._postpone(shard, subject, now)
        self._came += 1
        self._left[want] -= 1
        if not self._left[want]:
            del self._left[want]
            self._done.append(want)

    def next(self, state: ReplicaState, unproven: Sequence[str], now: float) -> PullPlan:
        """The next window, where there is room for one, for the `unproven` shards of the state."""
        if state.head is not self._head:
            # The operator has just published: what was no good then may be now.
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
        """How many messages are expected still."""
        return sum(self._left.values())

    def stuck(self) -> int:
        """How many topics do not bring what the index says, again and again."""
        return sum(p.tries >= STUCK for shard in self._patience.values() for p in shard.values())

    def _fill(
        self, ask: list[Want], state: ReplicaState, unproven: Sequence[str], free: int, now: float
    ) -> None:
        for shard in self._patience.keys() - set(unproven):
            del self._patience[shard]
        # What was begun is finished first: whom an index has outdated waits for their record.
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
        """Ask for some of what did not come, the longest ago first."""
        room = min(free, self._window // RETRIES - self._retried())
        due: dict[str, list[str]] = {}
        for _, shard, subject in heapq.nsmallest(max(0, room), self._due(state, begun, now)):
            due.setdefault(shard, []).append(subject)
        for shard, subjects in due.items():
            room -= self._ask_records(ask, state, shard, subjects, room, now)

    def _retried(self) -> int:
        """How many of those under way were asked for before."""
        patience = self._patience
        return sum(
            len(open_.keys() & patience.get(n, {}).keys()) for n, open_ in self._open.items()
        )

    def _due(
        self, state: ReplicaState, begun: Sequence[str], now: float
    ) -> Iterator[tuple[float, str, str]]:
        """Whom to ask for again: when they were last, their shard and they."""
        for shard in begun:
            held, index = state.shard(shard).held, state.shard(shard).index or {}
            for subject, patience in self._patience.get(shard, {}).items():
                if subject in index and subject not in held and self._may(shard, subject, now):
                    yield patience.last_s, shard, subject

    def _ask_indexes(
        self, ask: list[Want], state: ReplicaState, unproven: Sequence[str], room: int, now: float
    ) -> None:
        """Ask for those whose records the window after this one has room for."""
        assert state.head is not None or not unproven
        counts = {} if state.head is None else {n: state.head.sum_of(n).count for n in unproven}
        asked = {shard for shard, subjects in self._open.items() if INDEX in subjects}
        room -= sum(counts.get(shard, 0) for shard in asked)
        indexes = len(asked)
        for shard in sorted(unproven, key=lambda shard: self._last_asked_s(shard, INDEX)):
            if state.shard(shard).index is not None or not self._may(shard, INDEX, now):
                continue
            # One is asked for whatever its size, so that nothing is starved.
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
        """Ask for those a shard misses, up to `room` messages; how many are expected."""
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
        """After a silence: what is open was dropped, so ask for less at once."""
        if not self._left or now - self._last_s < QUIET_S:
            return []
        # What did not come before either says nothing of how much the broker takes at once.
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
        """Everything may be asked for at once; in which order is not forgotten."""
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
