"""What the state says of thresholds: tau's and, where one is asked, the logistic head's."""

from __future__ import annotations

from itertools import product

import pytest

from ostiary.edge.core.scores.calibration import Threshold
from ostiary.edge.core.scores.verifier import probability
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.wire import StateMessage, Topics


def made(logit: float | None, head: bool, tau: bool) -> Reporter:
    """A reporter that was told of both thresholds as the daemon tells it, and of tau again."""
    reporter = Reporter(Topics("hq", "north"), StateMessage(status="online", session=0), lambda: 0)
    reporter.head(None if logit is None else Threshold(logit, 1, 1e-3, 0.01, head))
    for _ in range(2):
        reporter.threshold(Threshold(0.5, 1, 1e-3, 0.01, tau))
    return reporter


@pytest.mark.parametrize(("head", "tau"), list(product([True, False], repeat=2)))
def test_the_state_says_whether_evidence_stands_behind_both(head: bool, tau: bool) -> None:
    reporter = made(1.5, head, tau)
    assert reporter._state.tau_supported == (head and tau)
    assert reporter._state.least_probability == probability(1.5)
    details = [event.detail for event in reporter._events if event.event == "tau-unsupported"]
    assert ["verifier" in detail for detail in details] == [True] * (not head) + [False] * (not tau)


def test_a_door_that_asks_no_head_has_its_tau_alone() -> None:
    assert made(None, False, True)._state.tau_supported
    assert made(None, False, True)._state.least_probability is None
    assert not made(None, False, True)._events


def test_a_tau_that_refuses_too_many_is_told_once_until_it_is_bearable_again() -> None:
    reporter = made(None, False, True)
    for fnir in (0.08, 0.1224, 0.14, 0.06, 0.16):
        reporter.threshold(Threshold(0.5, 100, 1e-3, 0.01, True, fnir=fnir))
        assert reporter._state.expected_fnir == pytest.approx(fnir)
    costly = [event.detail for event in reporter._events if event.event == "tau-costly"]
    assert [line.partition(":")[0] for line in costly] == [
        "12.2% expected FNIR for K = 100",
        "16.0% expected FNIR for K = 100",
    ]
