"""From evidence to a decision: a step function with `now` as an argument, replayable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from ostiary.edge.core.faces.pad import Presentation
from ostiary.edge.core.rules.evidence import Claim, Event, Evidence, Mode
from ostiary.edge.core.types import Candidate, Decision, Outcome, Reason

Key = TypeVar("Key")
Value = TypeVar("Value")


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
    `denials` are the frames in a row that must agree before somebody is recognised or denied. After
    a decision, the same face or subject gets no other one for `cooldown_s`. A face that is unusable
    for `patience_s` is denied as `low-quality`. A claim is valid for `claim_s`.
    """

    mode: Mode = Mode.IDENTIFY
    margin: float = 0.05
    votes: int = 2
    denials: int = 6
    cooldown_s: float = 5.0
    patience_s: float = 3.0
    claim_s: float = 10.0
    require_pad: bool = False


@dataclass(frozen=True, slots=True)
class _Tally:
    """Frames in a row of one track that point to the same reason and subject."""

    reason: Reason
    subject: str | None
    count: int
    since: float
    last: float


@dataclass(frozen=True, slots=True)
class State:
    """Everything policy remembers; a value, never changed in place."""

    tallies: MappingProxyType[int, _Tally] = field(default_factory=lambda: MappingProxyType({}))
    quiet_tracks: MappingProxyType[int, float] = field(default_factory=lambda: MappingProxyType({}))
    quiet_subjects: MappingProxyType[str, float] = field(
        default_factory=lambda: MappingProxyType({})
    )
    claim: str | None = None
    claim_until: float = 0.0


def step(rules: Rules, state: State, event: Event, now: float) -> tuple[State, Decision | None]:
    """The next state and, if one is due, a decision. `now` is monotonic seconds.

    Pure: the same events at the same times always give the same decisions.
    """
    state, expired = _expire(rules, state, now)
    if expired is not None:
        return state, expired
    if isinstance(event, Claim):
        return _claimed(rules, state, event, now)
    if isinstance(event, Evidence):
        return _seen(rules, state, event, now)
    return state, None


def _expire(rules: Rules, state: State, now: float) -> tuple[State, Decision | None]:
    state = replace(
        state,
        tallies=_only(state.tallies, lambda t: now - t.last <= rules.cooldown_s),
        quiet_tracks=_only(state.quiet_tracks, lambda until: until > now),
        quiet_subjects=_only(state.quiet_subjects, lambda until: until > now),
    )
    if state.claim is None or now < state.claim_until:
        return state, None
    # A claim gets an answer even if no usable face came.
    decision = Decision(Outcome.DENIED, Reason.LOW_QUALITY, state.claim)
    return _without_claim(state), decision


def _claimed(rules: Rules, state: State, claim: Claim, now: float) -> tuple[State, Decision | None]:
    if rules.mode is not Mode.VERIFY:
        return state, None
    before = state.claim
    state = _without_claim(state)
    if claim.subject is None or not claim.enrolled:
        return state, Decision(Outcome.DENIED, Reason.UNKNOWN, claim.subject)
    state = replace(state, claim=claim.subject, claim_until=now + rules.claim_s)
    if before is None or before == claim.subject:
        return state, None
    # Another card came before the answer to the first, which is denied.
    return state, Decision(Outcome.DENIED, Reason.LOW_QUALITY, before)


def _seen(
    rules: Rules, state: State, evidence: Evidence, now: float
) -> tuple[State, Decision | None]:
    if rules.mode is Mode.VERIFY and state.claim is None:
        return state, None
    reason, candidate = _reading(rules, evidence)
    if reason is None:
        # Votes must be in a row: a frame without a reading ends the row.
        return replace(state, tallies=_without(state.tallies, evidence.track)), None
    subject = candidate.subject if candidate and reason is not Reason.UNKNOWN else None
    tally = _count(state.tallies.get(evidence.track), reason, subject, now)
    state = replace(state, tallies=_with(state.tallies, evidence.track, tally))
    if not _is_time(rules, tally, now) or _is_quiet(rules, state, evidence.track, tally):
        return state, None
    claimed = subject if rules.mode is Mode.IDENTIFY else state.claim
    decision = _decision(reason, claimed, candidate, evidence)
    return _after(rules, state, evidence.track, decision, now), decision


def judge(rules: Rules, evidence: Evidence) -> Decision:
    """The decision that one frame alone would give, without votes: for `ostiary identify`."""
    reason, candidate = _reading(rules, evidence)
    reason = reason or Reason.LOW_QUALITY
    named = candidate.subject if candidate and reason is not Reason.UNKNOWN else None
    return _decision(reason, named, candidate, evidence)


def _decision(
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


def _reading(rules: Rules, evidence: Evidence) -> tuple[Reason | None, Candidate | None]:
    """The reason and candidate of this frame alone; the reason is None if PAD is undecided."""
    if evidence.failures:
        return Reason.LOW_QUALITY, None
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


def _count(old: _Tally | None, reason: Reason, subject: str | None, now: float) -> _Tally:
    if old is None or (old.reason, old.subject) != (reason, subject):
        return _Tally(reason, subject, 1, now, now)
    return replace(old, count=old.count + 1, last=now)


def _is_time(rules: Rules, tally: _Tally, now: float) -> bool:
    if tally.reason in RECOGNISED:
        return tally.count >= rules.votes
    if tally.reason is Reason.LOW_QUALITY:
        return now - tally.since >= rules.patience_s
    return tally.count >= rules.denials


def _is_quiet(rules: Rules, state: State, track: int, tally: _Tally) -> bool:
    """True if this answer was given a moment ago: a face does not get the same one at every frame.

    A claim is always answered. A denied face may be granted soon after, when it comes nearer.
    """
    if rules.mode is Mode.VERIFY:
        return False
    if tally.reason is Reason.MATCHED:
        return tally.subject in state.quiet_subjects
    return track in state.quiet_tracks


def _after(rules: Rules, state: State, track: int, decision: Decision, now: float) -> State:
    until = now + rules.cooldown_s
    state = replace(state, quiet_tracks=_with(state.quiet_tracks, track, until))
    if decision.granted and decision.subject is not None:
        quiet = _with(state.quiet_subjects, decision.subject, until)
        state = replace(state, quiet_subjects=quiet)
    return _without_claim(state) if rules.mode is Mode.VERIFY else state


def _without_claim(state: State) -> State:
    """Drop the claim and all votes: votes for one claim must not count for the next."""
    return replace(state, claim=None, tallies=MappingProxyType({}))


def _only(
    items: Mapping[Key, Value], keep: Callable[[Value], bool]
) -> MappingProxyType[Key, Value]:
    return MappingProxyType({key: value for key, value in items.items() if keep(value)})


def _with(items: Mapping[Key, Value], key: Key, value: Value) -> MappingProxyType[Key, Value]:
    return MappingProxyType({**items, key: value})


def _without(items: Mapping[Key, Value], key: Key) -> MappingProxyType[Key, Value]:
    return MappingProxyType({k: value for k, value in items.items() if k != key})
