"""Gives events to policy, and carries out each decision at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from ostiary.edge.adapters.storage.lockouts import LockoutFile
from ostiary.edge.core.rules import lockout, policy
from ostiary.edge.core.rules.evidence import Event
from ostiary.edge.core.rules.lockout import NO_STRIKES
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.types import Decision, Frame, Outcome, Probe, Reason
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.errors import StoreError
from ostiary.edge.vision.observer import Sighting

Shown = Callable[[Frame, Sighting | None, Decision, int], None]
"""Called with the frame, the sighting, the decision and its number in the journal."""
Learns = Callable[[str, Probe], None]
"""Called with a granted subject and a probe that its template may learn from."""
Holds = Callable[[Mapping[int, float]], None]
"""Called with the faces that are locked out, by track, and until when."""


class Decisions:
    """Holds policy's state and steps it. Each decision is journaled before the door opens: see
    `Recorder`."""

    def __init__(
        self,
        rules: Rules,
        recorder: Recorder,
        encoder: str,
        shown: Shown | None = None,
        lockouts: LockoutFile | None = None,
    ) -> None:
        """`encoder` is the id of the encoder in use. `shown` gets the frame of each decision.

        Lockouts are kept in `lockouts`, if given. Raises StoreError if it cannot be read.
        """
        self._rules, self._recorder, self._encoder = rules, recorder, encoder
        self._shown = shown
        self.learns: Learns | None = None
        self.holds: Holds | None = None
        self.now_s = time.monotonic()
        strikes = NO_STRIKES if lockouts is None else lockouts.load(rules.lockout, self.now_s)
        self._lockouts = lockouts
        self._state = policy.State(strikes=strikes)

    @property
    def claim(self) -> str | None:
        """The subject claimed at present, in verify mode."""
        return self._state.claim

    def advance(self, at_s: float) -> None:
        """Let time pass until `at_s`, in monotonic seconds.

        A frame may be older than the tick before it; policy's time never goes back.
        """
        self.now_s = max(self.now_s, at_s)
        if self._lockouts is not None and self._lockouts.was_cleared():
            self.clear_lockouts()

    def step(
        self,
        event: Event,
        sighting: Sighting | None = None,
        frame: Frame | None = None,
        began: float | None = None,
    ) -> None:
        """Give policy an event, and carry out what it decides.

        `began` (`time.perf_counter`) is when work on the frame started: the latency counts from it.
        """
        before = self._state.strikes
        self._state, decision = policy.step(self._rules, self._state, event, self.now_s)
        if self._state.strikes != before:
            self._keep_strikes()
        if decision is not None:
            self._carry_out(decision, sighting, frame, began or time.perf_counter())
        for end in self._state.ended:
            self._recorder.visit_ended(end)
        for lock in self._state.locked:
            self._recorder.locked(lock)

    def _keep_strikes(self) -> None:
        """Write the strikes before anything is decided: a power cut must not end a lockout."""
        if self._lockouts is not None:
            try:
                self._lockouts.save(self._state.strikes, self.now_s)
            except StoreError as error:
                self._recorder.failed_to_keep(error)
        if self.holds is not None:
            self.holds(lockout.faces(self._state.strikes))

    def clear_lockouts(self) -> None:
        """End every lockout, as an operator asks."""
        self._state = replace(self._state, strikes=NO_STRIKES)
        self._keep_strikes()

    def deny(self, reason: Reason) -> None:
        """Deny without evidence, for example because no frame can be analysed."""
        decision = Decision(Outcome.DENIED, reason, self.claim)
        self._carry_out(decision, None, None, time.perf_counter())

    def _carry_out(
        self, decision: Decision, sighting: Sighting | None, frame: Frame | None, began: float
    ) -> None:
        spent = dict(sighting.spent_ms) if sighting else {}
        spent["total"] = (time.perf_counter() - began) * 1e3
        mode = self._rules.mode.value
        entry = self._recorder.carry_out(decision, mode, self._encoder, spent)
        if entry is not None and decision.granted and sighting is not None:
            self._teach(decision, sighting)
        if entry is not None and frame is not None and self._shown is not None:
            self._shown(frame, sighting, decision, entry.seq)

    def _teach(self, decision: Decision, sighting: Sighting) -> None:
        """Let the template of a recognised person learn, after the door has opened.

        Only a grant that was journaled teaches; an operator's command never comes here.
        """
        subject, sample = decision.subject, sighting.sample
        if self.learns is not None and subject is not None and sample is not None:
            self.learns(subject, sample)


class Pause:
    """The pause between two denials without evidence, in policy's time."""

    def __init__(self, decisions: Decisions, length_s: float) -> None:
        self._decisions, self._length_s = decisions, length_s
        self._until_s = 0.0

    def is_over(self) -> bool:
        """True if the pause is over, or none has begun; then the next one begins."""
        now_s = self._decisions.now_s
        if now_s < self._until_s:
            return False
        self._until_s = now_s + self._length_s
        return True

    def deny(self, reason: Reason) -> None:
        """Deny without evidence, unless a pause goes on."""
        if self.is_over():
            self._decisions.deny(reason)
