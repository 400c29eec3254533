"""From evidence to a decision: a step function with `now` as an argument, replayable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from ostiary.edge.core.rules import lockout, reading
from ostiary.edge.core.rules.evidence import Claim, Event, Evidence, Mode
from ostiary.edge.core.rules.lockout import NO_STRIKES, Locked, Strikes
from ostiary.edge.core.rules.reading import RECOGNISED, Rules
from ostiary.edge.core.rules.remembered import UNUSABLE, Presence, Remembered, VisitEnd, unanswered
from ostiary.edge.core.types import Decision, Outcome, Reason

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class State:
    """Everything policy remembers; a value, never changed in place.

    `visits` are remembered by track, `present` by subject, and denials in `strikes`. `ended` are
    the denied visits that the last step found to be over, `locked` the lockouts it began.
    """

    visits: MappingProxyType[int, Remembered] = field(default_factory=lambda: MappingProxyType({}))
    present: MappingProxyType[str, Presence] = field(default_factory=lambda: MappingProxyType({}))
    strikes: MappingProxyType[str, Strikes] = field(default_factory=lambda: NO_STRIKES)
    ended: tuple[VisitEnd, ...] = ()
    locked: tuple[Locked, ...] = ()
    claim: str | None = None
    claim_until: float = 0.0


def step(rules: Rules, state: State, event: Event, now: float) -> tuple[State, Decision | None]:
    """The next state and, if one is due, a decision. `now` is monotonic seconds.

    Pure: the same events at the same times always give the same decisions.
    """
    claim = event.subject if isinstance(event, Claim) else state.claim
    state, decision = _expire(rules, state, now)
    if decision is None and isinstance(event, Claim):
        state, decision = _claimed(rules, state, event, now)
    elif decision is None and isinstance(event, Evidence):
        state, decision = _seen(rules, state, event, now)
    if decision is None:
        return state, None
    strikes, locked = lockout.after(rules.lockout, state.strikes, decision, claim, now)
    return replace(state, strikes=strikes, locked=locked), decision


def _expire(rules: Rules, state: State, now: float) -> tuple[State, Decision | None]:
    over = [(t, v) for t, v in state.visits.items() if v.is_over(now, rules.cooldown_s)]
    state = replace(
        state,
        visits=_only(state.visits, lambda visit: not visit.is_over(now, rules.cooldown_s)),
        present=_only(state.present, lambda one: now - one.seen_s <= rules.cooldown_s),
        ended=tuple(VisitEnd(track, visit.denied) for track, visit in over if visit.denied),
        strikes=lockout.kept(rules.lockout, state.strikes, now),
        locked=(),
    )
    if state.claim is None or now < state.claim_until:
        return state, None
    return _without_claim(state), Decision(
        Outcome.DENIED, unanswered(state.visits.values()), state.claim
    )


def _claimed(rules: Rules, state: State, claim: Claim, now: float) -> tuple[State, Decision | None]:
    if rules.mode is not Mode.VERIFY:
        return state, None
    before = state.claim
    state = _without_claim(state)
    if claim.subject is None or not claim.enrolled:
        return state, Decision(Outcome.DENIED, Reason.UNKNOWN, claim.subject)
    if lockout.is_locked(state.strikes, None, claim.subject, now):
        return state, Decision(Outcome.DENIED, Reason.LOCKED_OUT, claim.subject)
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
    reason, candidate = reading.read(rules, evidence)
    subject = candidate.subject if candidate and reason is not Reason.UNKNOWN else None
    visit = state.visits.get(evidence.track, Remembered(now, now))
    if evidence.failures:
        visit = visit.unusable(reason is Reason.COVERED, now)
        reason = visit.why_unusable
    elif reason is None:
        visit = visit.undecided(now)
    else:
        visit = visit.read(reason, subject, now)
    state = replace(
        state,
        visits=_with(state.visits, evidence.track, visit),
        present=_still_there(state.present, evidence.track, reason, subject, now),
    )
    if reason is None or not _is_time(rules, reason, visit, now):
        return state, None
    if rules.mode is Mode.VERIFY and _must_wait(rules, state, evidence, reason, now):
        return state, None
    if lockout.is_locked(state.strikes, evidence.track, state.claim, now):
        reason = Reason.LOCKED_OUT
    if _is_told(rules, state, evidence.track, reason, subject, now):
        return _goes_on(rules, state, evidence.track, reason, now), None
    claimed = subject if rules.mode is Mode.IDENTIFY else state.claim
    decision = reading.decided(reason, claimed, candidate, evidence)
    return _after(rules, state, evidence.track, decision, now), decision


def _goes_on(rules: Rules, state: State, track: int, reason: Reason, now: float) -> State:
    """A denial that goes on is told once, and counts towards a lockout each `cooldown_s`."""
    visit = state.visits[track]
    if reason not in lockout.CHARGED or now - visit.denied[reason].charged_s < rules.cooldown_s:
        return state
    keys = [lockout.face(track)]
    strikes, locked = lockout.charge(rules.lockout, state.strikes, keys, now)
    visits = _with(state.visits, track, visit.charged(reason, now))
    return replace(state, visits=visits, strikes=strikes, locked=locked)


def _still_there(
    present: MappingProxyType[str, Presence],
    track: int,
    reason: Reason | None,
    subject: str | None,
    now: float,
) -> MappingProxyType[str, Presence]:
    """Whoever was let in and is seen again, or whose face is still followed, has not left."""
    return MappingProxyType(
        {
            name: replace(one, seen_s=now)
            if one.track == track or (reason is Reason.MATCHED and name == subject)
            else one
            for name, one in present.items()
        }
    )


def _is_time(rules: Rules, reason: Reason, visit: Remembered, now: float) -> bool:
    if reason in UNUSABLE:
        return now - visit.unusable_s >= rules.patience_s
    return visit.count >= (rules.votes if reason in RECOGNISED else rules.denials)


def _must_wait(rules: Rules, state: State, evidence: Evidence, reason: Reason, now: float) -> bool:
    """True if a claim is not yet denied: whose it is may stand behind the nearest face.

    It is denied for what the nearest face shows, once every other face in view was seen as often.
    """
    if reason in RECOGNISED:
        return False
    return evidence.behind or any(
        not _is_judged(rules, state.visits.get(other), now) for other in evidence.others
    )


def _is_judged(rules: Rules, visit: Remembered | None, now: float) -> bool:
    if visit is None:
        return False
    return visit.count >= rules.denials or now - visit.unusable_s >= rules.patience_s


def _is_told(
    rules: Rules,
    state: State,
    track: int,
    reason: Reason,
    subject: str | None,
    now: float,
) -> bool:
    """True if the answer was given: the door opens once for a presence, and a visit is denied once
    for each reason.

    A claim is always answered. A denied face may be granted soon after, when it comes nearer; one
    that was let in may look away.
    """
    if rules.mode is Mode.VERIFY:
        return False
    if reason in UNUSABLE and any(one.track == track for one in state.present.values()):
        return True
    if reason is Reason.MATCHED:
        here = state.present.get(subject or "")
        told_s = None if here is None else here.opened_s
    else:
        denied = state.visits[track].denied.get(reason)
        told_s = None if denied is None else denied.told_s
    return told_s is not None and not (rules.reopen_s and now - told_s >= rules.reopen_s)


def _after(rules: Rules, state: State, track: int, decision: Decision, now: float) -> State:
    if rules.mode is Mode.VERIFY:
        return _without_claim(state)
    told = state.visits[track].told(decision, now)
    state = replace(state, visits=_with(state.visits, track, told))
    if decision.granted and decision.subject is not None:
        here = _with(state.present, decision.subject, Presence(now, now, track))
        state = replace(state, present=here)
    return state


def _without_claim(state: State) -> State:
    """Drop the claim and all votes: votes for one claim must not count for the next."""
    return replace(state, claim=None, visits=MappingProxyType({}))


def _only(
    items: Mapping[Key, Value], keep: Callable[[Value], bool]
) -> MappingProxyType[Key, Value]:
    return MappingProxyType({key: value for key, value in items.items() if keep(value)})


def _with(items: Mapping[Key, Value], key: Key, value: Value) -> MappingProxyType[Key, Value]:
    return MappingProxyType({**items, key: value})
