"""Gives events to policy, and carries out each decision at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Event
from ostiary.edge.core.types import Decision, Frame, Outcome, Reason
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.vision.observer import Sighting

Shown = Callable[[Frame, Sighting | None, Decision, int], None]
"""Called with the frame, the sighting, the decision and its number in the journal."""


class Decisions:
    """Holds policy's state and steps it. Each decision is journaled before the door opens: see
    `Recorder`."""

    def __init__(
        self, rules: policy.Rules, recorder: Recorder, encoder: str, shown: Shown | None = None
    ) -> None:
        """`encoder` is the id of the encoder in use. `shown` gets the frame of each decision."""
        self._rules, self._recorder, self._encoder = rules, recorder, encoder
        self._shown = shown
        self._state = policy.State()
        self.now_s = time.monotonic()

    @property
    def claim(self) -> str | None:
        """The subject claimed at present, in verify mode."""
        return self._state.claim

    def advance(self, at_s: float) -> None:
        """Let time pass until `at_s`, in monotonic seconds.

        A frame may be older than the tick before it; policy's time never goes back.
        """
        self.now_s = max(self.now_s, at_s)

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
        self._state, decision = policy.step(self._rules, self._state, event, self.now_s)
        if decision is not None:
            self._carry_out(decision, sighting, frame, began or time.perf_counter())

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
        if entry is not None and frame is not None and self._shown is not None:
            self._shown(frame, sighting, decision, entry.seq)
