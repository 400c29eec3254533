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
