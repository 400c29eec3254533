"""The policy where a logistic head must agree to a claim: it may refuse, and lets in nobody."""

import pytest

from ostiary.edge.core.rules.evidence import Evidence
from ostiary.edge.core.types import Candidate
from tests.support.policy_run import CARD, TAU, VERIFY, K, outcomes, run


def told(probability: float | None, score: float = 0.9, least: float | None = 0.95) -> Evidence:
    """The claimed person's evidence where a logistic head must agree."""
    candidate = Candidate("alice", score, probability)
    return Evidence(1, TAU, K, candidates=(candidate,), least_probability=least)


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (told(0.95), "matched"),
        (told(0.95 - 1e-9), "mismatch"),
        (told(0.999, score=TAU - 1e-9), "mismatch"),
        (told(float("nan")), "mismatch"),
        (told(0.999, score=float("nan")), "mismatch"),
        (told(0.999, least=float("nan")), "mismatch"),
        (told(None), "mismatch"),
        (told(None, least=None), "matched"),
        (told(0.1, least=None), "matched"),
    ],
)
def test_a_head_may_refuse_whom_tau_lets_in_and_lets_in_nobody(
    evidence: Evidence, reason: str
) -> None:
    (found,) = outcomes(VERIFY, [CARD] + [evidence] * 4)
    assert found[1:] == (reason, "alice")


def test_a_decision_says_what_the_head_said_and_had_to_say() -> None:
    ((_, granted),) = run(VERIFY, [CARD, told(0.97), told(0.98)])
    assert (granted.probability, granted.least_probability) == (0.98, 0.95)
    assert (granted.score, granted.tau) == (0.9, TAU)
    ((_, denied),) = run(VERIFY, [CARD] + [told(0.2)] * 4)
    assert (denied.probability, denied.least_probability) == (0.2, 0.95)


def test_votes_are_for_frames_in_which_the_head_agrees() -> None:
    assert run(VERIFY, [CARD, told(0.97), told(0.2), told(0.97)]) == []
