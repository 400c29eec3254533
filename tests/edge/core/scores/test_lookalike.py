"""Who is too close to somebody enrolled, by the tau of everybody enrolled."""

import pytest

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.scores.lookalike import LookAlikeGuard
from tests.support.fakes import curve
from tests.support.fleet.admitting import DIM, axis, near


def tau(k: int, fpir: float = 0.01) -> float:
    return threshold(curve(), fpir, k).tau


@pytest.mark.parametrize("k", [1, 10, 500])
def test_too_close_is_what_tau_says_at_the_k_of_everybody(k: int) -> None:
    coming = [f"p-{n}" for n in range(k)]
    guard = LookAlikeGuard(curve(), 0.01, DIM, [("alice", axis(0)[None])], coming)
    assert guard.nearest("p-0", near(0, tau(k) - 0.001)) is None
    found = guard.nearest("p-0", near(0, tau(k) + 0.001))
    assert found is not None
    assert (found.subject, found.tau, found.k, found.same) == ("alice", tau(k), k, False)
    assert "look-alike of alice" in found.text()


def test_closer_than_any_two_strangers_is_the_same_person() -> None:
    guard = LookAlikeGuard(curve(), 0.01, DIM, [("alice", axis(0)[None])], [])
    strictest = float(curve().scores[curve().impostor_at_or_above == 0][0])
    assert strictest > tau(1000)
    below, above = (guard.nearest("bob", near(0, strictest + d)) for d in (-0.001, 0.001))
    assert below is not None
    assert above is not None
    assert (below.same, above.same) == (False, True)
    assert "same person who is enrolled as alice" in above.text()


def test_nobody_is_their_own_look_alike_and_the_closest_other_is_named() -> None:
    held = [
        ("alice", axis(0)[None]),
        ("bob", near(0, 0.9, 1)[None]),
        ("carol", near(0, 0.8, 2)[None]),
    ]
    guard = LookAlikeGuard(curve(), 0.01, DIM, held, [])
    found = guard.nearest("alice", axis(0))
    assert found is not None
    assert found.subject == "bob"
    guard.add("dave", near(0, 0.95, 3))
    found = guard.nearest("alice", axis(0))
    assert found is not None
    assert (found.subject, found.k) == ("dave", 2)


def test_an_empty_gallery_has_no_look_alikes() -> None:
    assert LookAlikeGuard(curve(), 0.01, DIM, [], ["alice"]).nearest("alice", axis(0)) is None
