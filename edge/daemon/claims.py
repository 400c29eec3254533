"""Turns the lines of a card reader or keypad into claimed subjects for policy."""

from __future__ import annotations

from collections.abc import Mapping

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.claims import ClaimSource
from ostiary.edge.core.rules.evidence import Claim, Tick
from ostiary.edge.core.types import SUBJECT
from ostiary.edge.daemon.decisions import Decisions
from ostiary.edge.effects.reporter import Reporter


class Claims:
    """Reads the source at each turn, and reports when the source is lost and when it returns."""

    def __init__(
        self,
        source: ClaimSource,
        cards: Mapping[str, str],
        enrolled: Enrolled,
        decisions: Decisions,
        reporter: Reporter,
    ) -> None:
        """`cards` maps a card's number to a subject. If it is empty, a line is itself a subject's
        id."""
        self._source, self._cards = source, cards
        self._enrolled, self._decisions, self._reporter = enrolled, decisions, reporter
        self._problem = ""

    def take(self) -> None:
        """Give every line that was read since the last turn to policy."""
        for line in self._source.poll():
            # Time passes first: an expired claim is answered before the next one replaces it.
            self._decisions.step(Tick())
            self._decisions.step(self._claim(line))
        if self._source.problem != self._problem:
            self._problem = self._source.problem
            self._reporter.event("claims-lost" if self._problem else "claims-back", self._problem)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _claim(self, line: str) -> Claim:
        # With a table of cards, a number that is not in it claims nobody.
        subject = self._cards.get(line, "") if self._cards else line.lower()
        known = subject in self._enrolled.gallery
        # A reader may send anything: text that is not a subject's id must not reach logs or
        # messages.
        return Claim(subject if SUBJECT.fullmatch(subject) else None, known)
