"""tau: the rate that it keeps, its dependence on K, and rates beyond what was measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.scores.calibration import RULE_OF_30, count_scores, fmr_for, threshold
from tests.support.fakes import curve


@given(st.floats(1e-5, 0.5), st.integers(1, 100_000))
def test_fmr_for_gives_the_wanted_fpir_back(fpir: float, k: int) -> None:
    fmr = fmr_for(fpir, k)
    assert 1 - (1 - fmr) ** k == pytest.approx(fpir, rel=1e-3)


def test_tau_keeps_the_rate_and_is_the_lowest_that_does() -> None:
    made = curve()
    found = threshold(made, 0.01, 100)
    assert made.fmr(found.tau) <= fmr_for(0.01, 100)
    assert made.fmr(found.tau - 0.011) > fmr_for(0.01, 100)
    assert found.supported
    assert found.expected <= 0.01


def test_tau_rises_with_k() -> None:
    taus = [threshold(curve(), 0.01, k).tau for k in (1, 10, 100, 300)]
    assert taus == sorted(taus)
    assert taus[0] < taus[-1]


def test_a_rate_beyond_the_data_is_unsupported_and_tau_still_rises() -> None:
    made = curve(impostors=1_000_000)
    reach = fmr_for(0.01, 300) * made.impostors
    assert reach > RULE_OF_30
    taus = [threshold(made, 0.01, k) for k in (300, 1000, 10_000, 10_000_000)]
    assert [found.supported for found in taus] == [True, False, False, False]
    assert [found.tau for found in taus] == sorted(found.tau for found in taus)
    strictest = taus[-1]
    assert made.fmr(strictest.tau) == 0.0, "above every impostor that was measured"
    assert made.fmr(strictest.tau - 0.011) > 0.0
    assert strictest.expected > 0.01


def test_a_curve_whose_every_score_matches_strangers_is_never_supported() -> None:
    made = curve()
    hopeless = type(made)(
        made.scores,
        np.full_like(made.impostor_at_or_above, 10**6),
        made.genuine_below,
        10**6,
        1000,
        "hopeless",
    )
    found = threshold(hopeless, 0.001, 1)
    assert not found.supported
    assert found.tau == made.scores[-1]


def test_k_of_an_empty_gallery_counts_as_one() -> None:
    assert threshold(curve(), 0.01, 0).tau == threshold(curve(), 0.01, 1).tau


@given(st.integers(0, 1000))
def test_counts_against_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genuine, impostor = rng.normal(0.6, 0.1, 30), rng.normal(0.0, 0.1, 50)
    grid = np.arange(-0.5, 1.0, 0.1)
    below, above = count_scores(genuine, impostor, grid)
    assert below.tolist() == [sum(g < x for g in genuine) for x in grid]
    assert above.tolist() == [sum(i >= x for i in impostor) for x in grid]


def test_a_score_on_the_threshold_is_a_match() -> None:
    grid = np.array([0.2, 0.4])
    below, above = count_scores(np.array([0.2, 0.4]), np.array([0.2, 0.4]), grid)
    assert above.tolist() == [2, 1]
    assert below.tolist() == [0, 1]


@pytest.mark.parametrize(("errors", "supported"), [(20, False), (29, False), (31, True)])
def test_thirty_errors_make_a_rate(errors: int, supported: bool) -> None:
    made = curve(impostors=1_000_000)
    found = threshold(made, errors / made.impostors, 1)
    assert found.supported is supported
    if not supported:
        assert found.expected >= made.fmr(found.tau) + 2.9 / made.impostors


def test_rates_between_grid_points_are_never_too_low() -> None:
    made = curve()
    assert made.fmr(0.305) == made.fmr(0.30)
    assert made.fnmr(0.305) == made.fnmr(0.30)
