"""Refusals as events, at most one a reason in a while: who floods the door floods nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.effects.reporter import Reporter

EVERY_S = 10.0
MOST_REASONS = 50
"""Reasons are our own words, and few; this is for a mistake in them."""
ABOUT_CHARACTERS = 120


@dataclass(slots=True)
class _Told:
    at_s: float
    about: str
    more: int = 0


class Refusals:
    """The first of a reason is told at once; those within the next seconds are counted, and told
    as one by `flush`."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._reporter, self._clock = reporter, clock
        self._told: dict[tuple[str, str], _Told] = {}

    def say(self, event: str, reason: str, about: str) -> None:
        """Refuse something, for a reason that is a word of ours; `about` may be anybody's."""
        about = _harmless(about)
        told = self._told.get((event, reason))
        if told is not None:
            told.more, told.about = told.more + 1, about
            return
        if len(self._told) < MOST_REASONS:
            self._told[event, reason] = _Told(self._clock(), about)
            self._reporter.event(event, f"{reason}: {about}" if about else reason)

    def flush(self) -> None:
        """Tell what was counted, where its time has come; call it now and then."""
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
    """One short line, whatever a stranger wrote."""
    return "".join(c if c.isprintable() else "?" for c in text[:ABOUT_CHARACTERS])
