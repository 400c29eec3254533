"""Sends the journal's entries to the broker: in order, a window at a time, until acknowledged."""

from __future__ import annotations

import queue
from collections.abc import Callable

from ostiary.edge.adapters.storage.journal import Journal, JournalEntry

WINDOW = 10
"""The most entries under way: half of what Mosquitto allows, which leaves room for other messages.
"""
FIRST_WAIT_S, LONGEST_WAIT_S = 1, 30


class Outbox:
    """The entries that were sent and not yet acknowledged.

    The client's thread calls only `answer`, which fills a queue; the loop calls all other methods.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._under_way: dict[int, int] = {}
        self._done: list[int] = []
        self._last = 0
        self._pause_until = 0.0
        self.window = WINDOW

    def __len__(self) -> int:
        """The number of entries that were sent and not yet acknowledged."""
        return len(self._under_way)

    def answer(self, mid: int, refusal: str) -> None:
        """Note the broker's answer to message `mid`; an empty `refusal` means that it was taken."""
        self._answers.put((mid, refusal))

    def start_over(self) -> None:
        """Send again from the oldest unacknowledged entry, reading the journal and not paho's
        copies."""
        self._under_way.clear()
        self._last, self._pause_until = 0, 0.0

    def take_answers(self) -> str:
        """Empty the queue; returns why the broker refused an entry, or an empty text."""
        problem = ""
        while not self._answers.empty():
            mid, refusal = self._answers.get()
            seq = self._under_way.pop(mid, None)
            if seq is None:
                continue
            if refusal:
                # A refused entry is not marked; after a pause all unmarked entries are sent again.
                problem = f"the broker refused a decision: {refusal}"
                self._pause_until = self._clock() + LONGEST_WAIT_S
            else:
                self._done.append(seq)
        return problem

    def mark(self, journal: Journal) -> None:
        """Mark the acknowledged entries in the journal. Raises StoreError; a later call tries
        again."""
        if self._done:
            journal.acknowledge(self._done)
            self._done = []

    def due(self, journal: Journal) -> list[JournalEntry]:
        """The next entries that the window has room for. Raises StoreError if the journal fails."""
        if self._pause_until and not self._under_way and self._clock() >= self._pause_until:
            self.start_over()
        room = self.window - len(self._under_way)
        if self._pause_until or room <= 0:
            return []
        return journal.pending(self._last, room)

    def sent(self, mid: int, entry: JournalEntry) -> None:
        """Note that an entry was sent with this message id."""
        self._under_way[mid] = self._last = entry.seq
