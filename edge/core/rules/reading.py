"""What one frame of one face says, before any vote; and the settings of policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from ostiary.edge.core.faces import quality
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules.evidence import Evidence, Mode
from ostiary.edge.core.rules.lockout import LockoutRules
from ostiary.edge.core.types import Candidate, Decision, Outcome, Reason

RECOGNISED = frozenset(
    {
        Reason.MATCHED,
        Reason.NOT_HERE,
        Reason.OUTSIDE_SCHEDULE,
        Reason.EXPIRED,
        Reason.SUSPENDED,
        Reason.ROSTER_STALE,
    }
)
"""Reasons about a recognised subject; like a grant, they need `votes`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of policy.

    `margin` is the lead in score that the first subject needs over the second. `votes` and
    `denials` are the readings in a row that must agree before somebody is recognised or denied.
    Whoever is out of view for `cooldown_s` has left; until then the door opens for a subject once,
    and a visit is denied once for each reason, or again each `reopen_s` if that is not 0. A face
    without a usable frame for `patience_s` is denied as `low-quality`, or as `covered` if it was in
    most of its frames. A claim is valid for `claim_s`.
    """

    mode: Mode = Mode.IDENTIFY
    margin: float = 0.05
    votes: int = 2
    denials: int = 6
    cooldown_s: float = 5.0
    reopen_s: float = 0.0
    patience_s: float = 3.0
    claim_s: float = 10.0
    require_pad: bool = False
    lockout: LockoutRules = field(default_factory=LockoutRules)


def judge(rules: Rules, evidence: Evidence) -> Decision:
    """The decision that one frame alone would give, without votes: for `ostiary identify`."""
    reason, candidate = read(rules, evidence)
    reason = reason or Reason.LOW_QUALITY
    named = candidate.subject if candidate and reason is not Reason.UNKNOWN else None
    return decided(reason, named, candidate, evidence)


def decided(
    reason: Reason, subject: str | None, candidate: Candidate | None, evidence: Evidence
) -> Decision:
    return Decision(
        Outcome.GRANTED if reason is Reason.MATCHED else Outcome.DENIED,
        reason,
        subject,
        candidate.score if candidate else None,
        evidence.tau,
        evidence.k,
        evidence.track,
        candidate.probability if candidate else None,
        evidence.least_probability,
    )


def read(rules: Rules, evidence: Evidence) -> tuple[Reason | None, Candidate | None]:
    """The reason and candidate of this frame alone; the reason is None if PAD is undecided."""
    if evidence.failures:
        covered = quality.is_covered(evidence.failures)
        return (Reason.COVERED if covered else Reason.LOW_QUALITY), None
    if rules.require_pad and evidence.presentation is not Presentation.BONA_FIDE:
        attack = evidence.presentation is Presentation.ATTACK
        return (Reason.ATTACK if attack else None), None
    if not evidence.candidates:
        return Reason.UNKNOWN, None
    best = evidence.candidates[0]
    if not _is_near(best, evidence):
        return (Reason.UNKNOWN if rules.mode is Mode.IDENTIFY else Reason.MISMATCH), best
    second = evidence.candidates[1].score if len(evidence.candidates) > 1 else -2.0
    if not best.score - second >= rules.margin:
        return Reason.AMBIGUOUS, best
    return evidence.barred or Reason.MATCHED, best


def _is_near(best: Candidate, evidence: Evidence) -> bool:
    """True if the score reaches tau and the logistic head, if one is asked, agrees.

    Written so that NaN and a missing probability are refused.
    """
    if not best.score >= evidence.tau:
        return False
    least, said = evidence.least_probability, best.probability
    return least is None or (said is not None and said >= least)
