"""Carries out a decision: journals it first, then opens the door."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping

from ostiary.edge import wire
from ostiary.edge.adapters.door.base import Door
from ostiary.edge.adapters.storage.journal import Journal, JournalEntry
from ostiary.edge.core.rules.lockout import Locked
from ostiary.edge.core.rules.remembered import VisitEnd
from ostiary.edge.core.types import Decision, Outcome, Reason
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import DoorError, StoreError
from ostiary.edge.wire import DecisionMessage

log = logging.getLogger(__name__)


class Recorder:
    """Journals decisions, and is the only place from which the door is opened."""

    def __init__(
        self,
        journal: Journal,
        door: Door,
        reporter: Reporter,
        wall: Callable[[], float],
        opens_unrecorded: bool,
    ) -> None:
        self._journal, self._door, self._reporter = journal, door, reporter
        self._wall, self._opens_unrecorded = wall, opens_unrecorded

    def carry_out(
        self, decision: Decision, mode: str, encoder: str, spent_ms: Mapping[str, float]
    ) -> JournalEntry | None:
        """Journal a decision and act on it; None if it could not be journaled."""
        entry = self._journaled(decision, mode, encoder, spent_ms)
        if decision.granted and (entry is not None or self._opens_unrecorded):
            self._open()
        return entry

    def visit_ended(self, end: VisitEnd) -> None:
        """Tell how long a denied visit lasted: it was journaled once, when it was denied."""
        self._reporter.event("visit-ended", str(end))

    def locked(self, lock: Locked) -> None:
        """Tell that somebody is locked out; each of the denials is in the journal."""
        self._reporter.event("repeated-denials", str(lock))

    def failed_to_keep(self, error: StoreError) -> None:
        """Tell that lockouts would not outlive a restart."""
        self._reporter.event("store-failed", error.message)

    def command(self, encoder: str) -> str:
        """Open by an operator's command; returns why the door stayed shut, or an empty text."""
        decision = Decision(Outcome.GRANTED, Reason.COMMANDED)
        entry = self._journaled(decision, "command", encoder, {})
        if entry is None and not self._opens_unrecorded:
            return "not-recorded"
        return "" if self._open() else "door-failed"

    def _journaled(
        self, decision: Decision, mode: str, encoder: str, spent_ms: Mapping[str, float]
    ) -> JournalEntry | None:
        now, identity = self._wall(), uuid.uuid4().hex

        def payload(seq: int) -> bytes:
            return wire.encode(_message(identity, decision, mode, encoder, spent_ms, seq, now))

        try:
            entry = self._journal.append(now, payload)
        except StoreError as error:
            self._unrecorded(decision, error)
            return None
        self._reporter.change(journal="ok")
        log.info("%s", describe(decision), extra=_fields(identity, entry.seq, decision, spent_ms))
        return entry

    def _unrecorded(self, decision: Decision, error: StoreError) -> None:
        """Report that a decision cannot be journaled, and whether the door opens all the same."""
        self._reporter.change(journal="failed")
        opens = self._opens_unrecorded and decision.granted
        outcome = "the door opens unrecorded" if opens else "the door stays shut"
        self._reporter.event("journal-failed", f"{outcome}: {error.message}")

    def _open(self) -> bool:
        try:
            self._door.open()
        except DoorError as error:
            self._reporter.event("door-failed", error.message)
            return False
        return True


def describe(decision: Decision) -> str:
    """A decision in one line: outcome, reason, subject, score and tau."""
    words = f"{decision.outcome.value} {decision.reason.value} {decision.subject or '-'}"
    if decision.score is None or decision.tau is None:
        return words
    words += f" score {decision.score:.3f} tau {decision.tau:.3f} K {decision.k}"
    if decision.probability is None or decision.least_probability is None:
        return words
    return f"{words} probability {decision.probability:.4f} of {decision.least_probability:.4f}"


def _fields(
    identity: str, seq: int, decision: Decision, spent_ms: Mapping[str, float]
) -> dict[str, object]:
    """Fields to filter systemd's journal by; the subject is in the message only."""
    return {
        "OSTIARY_DECISION": identity,
        "OSTIARY_SEQ": seq,
        "OSTIARY_OUTCOME": decision.outcome.value,
        "OSTIARY_REASON": decision.reason.value,
        "OSTIARY_LATENCY_MS": round(spent_ms.get("total", 0.0), 2),
    }


def _message(
    identity: str,
    decision: Decision,
    mode: str,
    encoder: str,
    spent_ms: Mapping[str, float],
    seq: int,
    at: float,
) -> DecisionMessage:
    return DecisionMessage(
        id=identity,
        seq=seq,
        at=wire.utc(at),
        outcome=decision.outcome,
        reason=decision.reason,
        mode=mode,
        subject=decision.subject,
        score=decision.score,
        tau=decision.tau,
        k=decision.k,
        encoder=encoder,
        track=decision.track,
        latency_ms={name: round(ms, 2) for name, ms in spent_ms.items()},
        probability=decision.probability,
        least_probability=decision.least_probability,
    )
