"""A presence opens once, a visit is denied once for each reason, and dark frames undo nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ostiary.edge.core.rules.evidence import Evidence, Tick
from ostiary.edge.core.rules.lockout import LockoutRules
from ostiary.edge.core.rules.policy import State, step
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.rules.remembered import HOLD_S, VISIT_S, VisitEnd
from ostiary.edge.core.types import Candidate, Reason
from tests.support import policy_run
from tests.support.policy_run import CARD, FRAME_S, TAU, VERIFY, K, outcomes, run

IDENTIFY = replace(policy_run.IDENTIFY, lockout=LockoutRules(failures=0))
AWAY = [Tick()] * 60
"""Six seconds: more than the cooldown."""


def seen(subject: str, score: float, track: int = 1) -> Evidence:
    return Evidence(track, TAU, K, candidates=(Candidate(subject, score),))


ALICE, STRANGER = seen("alice", 0.8), seen("alice", 0.3)
DARK = Evidence(1, TAU, K, failures=("too-dark",))
COVERED = Evidence(1, TAU, K, failures=("covered",))


def times(rules: Rules, events: list[Any]) -> list[float]:
    return [at for at, _ in run(rules, events)]


def ends(events: list[Any]) -> list[VisitEnd]:
    state, found = State(), list[VisitEnd]()
    for number, event in enumerate(events):
        state, _ = step(IDENTIFY, state, event, number * FRAME_S)
        found += state.ended
    return found


def test_the_door_opens_once_for_whoever_stays_eight_minutes() -> None:
    assert times(IDENTIFY, [ALICE] * 4800) == [0.1]


def test_it_opens_again_after_they_have_left() -> None:
    assert times(IDENTIFY, [ALICE] * 5 + AWAY + [ALICE] * 5) == [0.1, 6.6]
    assert times(IDENTIFY, [ALICE] * 5 + AWAY + [seen("alice", 0.8, 2)] * 5) == [0.1, 6.6]


def test_a_step_aside_is_no_leaving_nor_is_a_new_track() -> None:
    assert times(IDENTIFY, [ALICE] * 5 + AWAY[:40] + [seen("alice", 0.8, 2)] * 5) == [0.1]


def test_a_face_that_is_followed_while_it_says_nothing_has_not_left() -> None:
    assert times(IDENTIFY, [ALICE] * 5 + [DARK] * 100 + [ALICE] * 5) == [0.1]


def test_a_profile_may_open_again_while_somebody_stays() -> None:
    rules = replace(IDENTIFY, reopen_s=2.0)
    assert times(rules, [ALICE] * 50) == [0.1, 2.1, 4.1]


def test_a_profile_may_tell_a_denial_again_and_its_visit_is_one_all_the_same() -> None:
    rules = replace(IDENTIFY, reopen_s=2.0)
    assert times(rules, [STRANGER] * 50) == [0.3, 2.3, 4.3]
    state = State()
    for number, event in enumerate([STRANGER] * 50):
        state, _ = step(rules, state, event, number * FRAME_S)
    assert state.visits[1].denied[Reason.UNKNOWN].frames == 47


def test_a_presence_keeps_nobody_else_out() -> None:
    bob = seen("bob", 0.8, 2)
    assert outcomes(IDENTIFY, [ALICE, bob] * 20) == [
        ("granted", "matched", "alice"),
        ("granted", "matched", "bob"),
    ]


def test_a_claim_is_answered_though_its_subject_is_still_here() -> None:
    one = [CARD, ALICE, ALICE]
    assert outcomes(VERIFY, one * 2) == [("granted", "matched", "alice")] * 2


def test_a_stranger_who_stays_is_denied_once_and_their_visit_is_summed_up_at_its_end() -> None:
    stay = [STRANGER] * 4800
    assert times(IDENTIFY, stay) == [0.3]
    (end,) = ends(stay + [Tick()] * int(VISIT_S / FRAME_S + 2))
    assert end.track == 1
    (reason, denied) = next(iter(end.denied.items()))
    assert reason is Reason.UNKNOWN
    assert denied.frames == 4797
    assert denied.last_s - denied.first_s == pytest.approx(479.6)
    assert str(end) == "track 1: unknown: 4797 frames in 480 s"


def test_who_comes_back_within_a_minute_is_in_the_same_visit() -> None:
    back = [STRANGER] * 5 + [Tick()] * 400 + [STRANGER] * 5
    assert times(IDENTIFY, back) == [0.3]
    assert ends(back) == []


def test_a_visit_is_denied_once_for_each_reason_and_granted_when_it_matches() -> None:
    suspended = replace(ALICE, barred=Reason.SUSPENDED)
    events = ([STRANGER] * 5 + [suspended] * 5) * 3 + [ALICE] * 3
    assert outcomes(IDENTIFY, events) == [
        ("denied", "unknown", None),
        ("denied", "suspended", "alice"),
        ("granted", "matched", "alice"),
    ]


def test_after_a_grant_a_denial_is_told_anew() -> None:
    """Somebody who was let in may be revoked while they stand there."""
    assert outcomes(IDENTIFY, [STRANGER] * 5 + [ALICE] * 5 + [STRANGER] * 30) == [
        ("denied", "unknown", None),
        ("granted", "matched", "alice"),
        ("denied", "unknown", None),
    ]


def test_whoever_was_let_in_is_not_summed_up() -> None:
    assert ends([ALICE] * 10 + [Tick()] * 700) == []


@pytest.mark.parametrize("dark", [1, 2, 5])
def test_under_a_pulsed_lamp_the_lit_frames_count(dark: int) -> None:
    events = ([DARK] * dark + [ALICE]) * 2
    assert outcomes(IDENTIFY, events) == [("granted", "matched", "alice")]
    assert outcomes(VERIFY, [CARD, *events]) == [("granted", "matched", "alice")]


def test_votes_do_not_outlive_a_long_darkness() -> None:
    long = int(HOLD_S / FRAME_S) + 2
    patient = replace(IDENTIFY, patience_s=60.0)
    assert outcomes(patient, [ALICE] + [DARK] * long + [ALICE]) == []
    assert len(outcomes(patient, [ALICE] + [DARK] * (long - 5) + [ALICE])) == 1


def test_a_dark_frame_does_not_help_a_stranger() -> None:
    assert outcomes(IDENTIFY, ([DARK, STRANGER] * 4)) == [("denied", "unknown", None)]


def test_a_claim_is_low_quality_only_if_no_frame_was_usable() -> None:
    wait = [Tick()] * 40
    for seen_then, wanted in (
        ([DARK] * 9, "low-quality"),
        ([COVERED] * 9, "covered"),
        ([COVERED, STRANGER] * 2, "mismatch"),
        ([DARK, STRANGER] * 2, "mismatch"),
    ):
        assert outcomes(VERIFY, [CARD, *seen_then, *wait]) == [("denied", wanted, "alice")]
