"""A claim is compared with every face in view, and denied for the nearest one, last of all."""

from __future__ import annotations

from dataclasses import replace

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules.evidence import Evidence
from ostiary.edge.core.types import Candidate, Reason
from tests.support.policy_run import CARD, TAU, VERIFY, K, outcomes, run

DENIED, GRANTED = ("denied", "mismatch", "alice"), ("granted", "matched", "alice")


def seen(track: int, score: float, behind: bool, *others: int) -> Evidence:
    found = (Candidate("alice", score),)
    return Evidence(track, TAU, K, (), Presentation.UNDECIDED, found, None, None, others, behind)


NEAR, FAR = seen(1, 0.1, False, 2), seen(2, 0.1, True, 1)
OWN = seen(2, 0.9, True, 1)
BLURRED = replace(FAR, failures=("blurred",), candidates=())


def test_the_claimed_one_behind_somebody_else_is_let_in() -> None:
    assert outcomes(VERIFY, [CARD, NEAR, NEAR, NEAR, OWN, NEAR, OWN]) == [GRANTED]


def test_the_nearest_alone_is_denied_as_ever() -> None:
    alone = replace(NEAR, others=())
    assert outcomes(VERIFY, [CARD, *[alone] * VERIFY.denials]) == [DENIED]


def test_a_denial_waits_until_every_face_was_compared_as_often() -> None:
    both = [NEAR, FAR] * VERIFY.denials
    assert outcomes(VERIFY, [CARD, *both]) == []
    ((_, decision),) = run(VERIFY, [CARD, *both, NEAR])
    assert (decision.reason, decision.track) == (Reason.MISMATCH, 1)
    assert outcomes(VERIFY, [CARD, *[NEAR] * 12]) == [], "the other was not looked at yet"


def test_no_face_behind_is_charged_with_a_claim_that_is_not_its_own() -> None:
    assert outcomes(VERIFY, [CARD, *[NEAR] * 6, *[FAR] * 12]) == []


def test_a_face_that_shows_nothing_holds_the_answer_up_for_a_short_time_only() -> None:
    frames = [NEAR, BLURRED] * 20
    ((when, decision),) = run(VERIFY, [CARD, *frames])
    assert decision.reason is Reason.MISMATCH
    assert VERIFY.patience_s <= when < VERIFY.claim_s


def test_a_claim_that_runs_out_meanwhile_is_denied_for_what_was_seen() -> None:
    ((when, decision),) = run(VERIFY, [CARD, *[NEAR] * 40])
    assert (decision.reason, when) == (Reason.MISMATCH, VERIFY.claim_s)
