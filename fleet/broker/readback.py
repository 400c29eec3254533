"""Reads retained messages in windows; the broker's queue would drop what exceeds a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

FIRST_WINDOW, LEAST_WINDOW, LARGEST_WINDOW = 80, 20, 800
"""The sizes of the window: messages asked for at once. The first one fits a broker that queues 100
messages, the largest one a broker that queues 1,000: Mosquitto's defaults, depending on its
version."""
DOUBTS = 5
"""How often missing messages are asked for again. A message that is wrongly taken for missing is
only sent once more."""
QUIET_S, SHORT_S = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Ask:
    """A filter, and the topics that it is expected to bring."""

    name: str
    expected: frozenset[str]


class Reads(Protocol):
    """The part of `ostiary.fleet.broker.session.Broker` that reading needs."""

    def read(
        self, filters: Sequence[str], expected: Collection[str] = (), quiet_s: float = QUIET_S
    ) -> dict[str, bytes]: ...


def exact(topics: Collection[str]) -> list[Ask]:
    """One `Ask` per topic, by its full name."""
    return [Ask(topic, frozenset([topic])) for topic in topics]


class Readback:
    """Reads in windows: after a complete window the next one grows; after a loss it shrinks for
    good."""

    def __init__(self, broker: Reads) -> None:
        self._broker = broker
        self._window, self._most, self._doubts = FIRST_WINDOW, LARGEST_WINDOW, DOUBTS

    def read(self, asks: Collection[Ask]) -> Iterator[dict[str, bytes]]:
        """Yield payloads by topic, one window at a time; a topic may occur twice."""
        waiting = deque(asks)
        while waiting:
            batch = self._take(waiting)
            expected = frozenset(chain.from_iterable(ask.expected for ask in batch))
            quiet_s = QUIET_S if self._doubts else SHORT_S
            came = self._broker.read([ask.name for ask in batch], expected, quiet_s)
            yield came
            missing = expected - came.keys()
            if not missing:
                self._window = min(2 * self._window, self._most)
            elif self._doubts:
                self._doubts -= 1
                sample = sorted(missing)[:LEAST_WINDOW]
                came = self._broker.read(sample, sample)
                yield came
                if came:
                    self._most = max(LEAST_WINDOW, min(self._window, len(expected)) // 2)
                    self._window = min(self._window, self._most)
                    waiting.extendleft(exact(missing - came.keys()))

    def _take(self, waiting: deque[Ask]) -> list[Ask]:
        # The broker drops a part of a filter that fits no window: ask for its topics by name.
        if len(waiting[0].expected) > self._most:
            waiting.extendleft(exact(waiting.popleft().expected))
        batch = [waiting.popleft()]
        room = self._window - len(batch[0].expected)
        while waiting and len(waiting[0].expected) <= room:
            batch.append(waiting.popleft())
            # A filter that should bring nothing may still bring something.
            room -= max(1, len(batch[-1].expected))
        return batch
