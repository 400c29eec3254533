"""The journal's entries on their way to the broker: in order, a window at once, until taken."""

from __future__ import annotations

import queue
from collections.abc import Callable

from ostiary.edge.adapters.storage.journal import Journal, JournalEntry

WINDOW = 10
"""Entries under way at once: half of what Mosquitto takes, so that state and events find room."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1, 30


class Outbox:
    """`answer` is for the client's thread and only fills a queue; the rest is for the loop's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._under_way: dict[int, int] = {}
        self._done: list[int] = []
        self._last = 0
        self._pause_until = 0.0
        self.window = WINDOW

    def __len__(self) -> int:
        """Entries that were sent and not yet acknowledged."""
        return len(self._under_way)

    def answer(self, mid: int, refusal: str) -> None:
        """The broker has taken a message, or says why not."""
        self._answers.put((mid, refusal))

    def start_over(self) -> None:
        """Send again from the oldest that nobody took: the journal decides, not paho's memory."""
        self._under_way.clear()
        self._last, self._pause_until = 0, 0.0

    def take_answers(self) -> str:
        """Empty the queue; why the broker refused an entry, or nothing."""
        problem = ""
        while not self._answers.empty():
            mid, refusal = self._answers.get()
            seq = self._under_way.pop(mid, None)
            if seq is None:
                continue
            if refusal:
                # The broker said no: nothing is marked, and all is sent again after a while.
                problem = f"the broker refused a decision: {refusal}"
                self._pause_until = self._clock() + LONGEST_WAIT_S
            else:
                self._done.append(seq)
        return problem

    def mark(self, journal: Journal) -> None:
        """Write down what was taken. Raises StoreError; it is tried again then."""
        if self._done:
            journal.acknowledge(self._done)
            self._done = []

    def due(self, journal: Journal) -> list[JournalEntry]:
        """What there is room for now. Raises StoreError where the journal can not be read."""
        if self._pause_until and not self._under_way and self._clock() >= self._pause_until:
            self.start_over()
        room = self.window - len(self._under_way)
        if self._pause_until or room <= 0:
            return []
        return journal.pending(self._last, room)

    def sent(self, mid: int, entry: JournalEntry) -> None:
        """An entry has left under this message id."""
        self._under_way[mid] = self._last = entry.seq
