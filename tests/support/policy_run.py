"""The policy's rules in both modes, and what it decides of a list of timed events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostiary.edge.core.rules.evidence import Claim, Mode
from ostiary.edge.core.rules.policy import State, step
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.types import Decision

TAU, K = 0.5, 10
FRAME_S = 0.1
IDENTIFY = Rules(votes=2, denials=4, cooldown_s=5.0, patience_s=2.0, margin=0.05)
VERIFY = replace(IDENTIFY, mode=Mode.VERIFY, claim_s=3.0)
CARD = Claim("alice", enrolled=True)


def run(rules: Rules, events: list[Any], start: float = 100.0) -> list[tuple[float, Decision]]:
    """The decisions of one event a tenth of a second, with the time after the start."""
    state, decisions = State(), []
    for number, event in enumerate(events):
        now = start + number * FRAME_S
        state, decision = step(rules, state, event, now)
        if decision is not None:
            decisions.append((round(now - start, 3), decision))
    return decisions


def outcomes(rules: Rules, events: list[Any]) -> list[tuple[str, str, str | None]]:
    return [(d.outcome.value, d.reason.value, d.subject) for _, d in run(rules, events)]
