"""Reports refusals as events, at most one for each reason in ten seconds, whatever the flood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.effects.reporter import Reporter

EVERY_S = 10.0
MOST_REASONS = 50
"""Limit on the number of reasons, in case a programming mistake makes too many."""
ABOUT_CHARACTERS = 120


@dataclass(slots=True)
class _Told:
    at_s: float
    about: str
    more: int = 0


class EventThrottle:
    """Reports the first refusal for a reason at once; `flush` reports the next ones as a count."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._reporter, self._clock = reporter, clock
        self._told: dict[tuple[str, str], _Told] = {}

    def say(self, event: str, reason: str, about: str) -> None:
        """Count a refusal; `reason` is a fixed word of ours, `about` may be a stranger's text."""
        about = _harmless(about)
        told = self._told.get((event, reason))
        if told is not None:
            told.more, told.about = told.more + 1, about
            return
        if len(self._told) < MOST_REASONS:
            self._told[event, reason] = _Told(self._clock(), about)
            self._reporter.event(event, f"{reason}: {about}" if about else reason)

    def flush(self) -> None:
        """Report the counts that are ten seconds old; call it at every turn."""
        now = self._clock()
        for (event, reason), told in list(self._told.items()):
            if now - told.at_s < EVERY_S:
                continue
            if not told.more:
                del self._told[event, reason]
                continue
            last = f", the last: {told.about}" if told.about else ""
            self._reporter.event(event, f"{reason}: {told.more} more{last}")
            self._told[event, reason] = _Told(now, told.about)


def _harmless(text: str) -> str:
    """A stranger's text as one short printable line."""
    return "".join(c if c.isprintable() else "?" for c in text[:ABOUT_CHARACTERS])
