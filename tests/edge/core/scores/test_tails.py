"""Rates beyond what was counted, by a modelled tail, and tau for templates of several kinds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.scores.calibration import (
    RULE_OF_30,
    DetCurve,
    fmr_for,
    threshold,
    threshold_over,
)
from tests.support.fakes import curve

TAILED = curve(tailed=True)


def test_rates_are_counted_where_thirty_errors_were_and_modelled_beyond() -> None:
    counted = TAILED.impostor_at_or_above >= RULE_OF_30
    plain, safe = TAILED.rates(safe=False), TAILED.rates()
    measured = TAILED.impostor_at_or_above / TAILED.impostors
    for rates in (plain, safe):
        assert (rates[counted] == measured[counted]).all()
    assert plain[~counted] == pytest.approx(10.0 ** (-10 * TAILED.scores[~counted]), rel=1e-6)
    least = measured[counted][-1]
    law = 10.0 ** (-10 * (TAILED.scores[~counted] - 0.02))
    assert safe[~counted] == pytest.approx(np.minimum(law, least), rel=1e-6)


@given(st.floats(-0.3, 0.3), st.integers(1000, 10**7))
def test_rates_never_rise_even_if_the_tail_does_not_meet_the_counts(
    shift: float, impostors: int
) -> None:
    tail = curve(start=shift, tailed=True).tail
    made = dataclasses.replace(curve(impostors), tail=tail)
    plain, safe = made.rates(safe=False), made.rates()
    assert (np.diff(plain) <= 0).all()
    assert (np.diff(safe) <= 0).all()
    assert (safe >= plain).all()
    assert plain[-1] > 0, "a model never says that no impostor matches"


def test_without_thirty_errors_anywhere_every_rate_is_modelled() -> None:
    made = curve(impostors=20, tailed=True)
    assert made.rates(safe=False)[30:] == pytest.approx(10.0 ** (-10 * made.scores[30:]))


def test_without_a_tail_every_rate_is_counted() -> None:
    made = curve()
    assert (made.rates() == made.impostor_at_or_above / made.impostors).all()


@pytest.mark.parametrize("k", [1, 100, 300])
def test_a_tail_changes_nothing_where_enough_pairs_were_counted(k: int) -> None:
    found = threshold(TAILED, 0.01, k)
    assert found == threshold(curve(), 0.01, k)
    assert (found.supported, found.modelled) == (True, False)


def test_beyond_the_counted_pairs_tau_follows_the_safe_tail() -> None:
    """FMR 1e-8 is met by the law at a score of 0.8, and by the safe tail 0.02 above it."""
    found = threshold(TAILED, 0.01, 10**6)
    assert found.tau == pytest.approx(0.82)
    assert (found.supported, found.modelled) == (False, True)
    assert found.expected == pytest.approx(1 - (1 - 10**-8.2) ** 10**6, rel=1e-3)
    assert found.fnir == pytest.approx(0.82, abs=0.0011)


def test_beyond_them_without_a_tail_tau_is_above_all_and_the_rate_is_unknown() -> None:
    made = curve()
    found = threshold(made, 0.01, 10**6)
    assert found.tau == pytest.approx(0.61)
    assert (found.supported, found.modelled) == (False, False)
    assert found.expected == pytest.approx(1 - (1 - 3e-6) ** 10**6)
    assert found.fnir == made.fnmr(found.tau)


def naive(parts: list[tuple[DetCurve, int]], at: int, safe: bool) -> float:
    """FPIR at a point of the grid as a product over templates."""
    passed = 1.0
    for made, number in parts:
        passed *= (1 - made.rates(safe)[at]) ** number
    return 1 - passed


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 400)), min_size=2, max_size=4),
    st.sampled_from([0.3, 0.05, 0.01]),
    st.booleans(),
)
def test_several_kinds_give_one_tau_as_a_naive_product_does(
    kinds: list[tuple[float, int]], fpir: float, tailed: bool
) -> None:
    parts = [(curve(start=start, tailed=tailed), number) for start, number in kinds]
    found = threshold_over(parts, fpir)
    at = [naive(parts, i, safe=True) <= fpir * (1 + 1e-9) for i in range(101)].index(True)
    assert found.tau == parts[0][0].scores[at]
    assert found.k == sum(number for _, number in parts)
    if found.supported or found.modelled:
        assert found.expected == pytest.approx(naive(parts, at, safe=False), rel=1e-6)
    refused = [made.fnmr(found.tau) for made, number in parts for _ in range(number)]
    assert found.fnir == pytest.approx(np.mean(refused))


def test_a_kind_of_which_nobody_is_enrolled_says_nothing() -> None:
    few = curve(impostors=1000, start=0.3)
    assert threshold_over([(TAILED, 50), (few, 0)], 0.01).tau == threshold(TAILED, 0.01, 50).tau
    assert threshold_over([(TAILED, 50), (few, 0)], 0.01).supported


def test_one_kind_with_too_few_pairs_makes_the_whole_unsupported() -> None:
    few = curve(impostors=100_000)
    assert fmr_for(0.01, 51) > TAILED.least_fmr
    assert threshold_over([(TAILED, 51)], 0.01).supported
    assert not threshold_over([(TAILED, 50), (few, 1)], 0.01).supported
    assert not threshold_over([(TAILED, 50), (few, 1)], 0.01).modelled, "one kind has no tail"


def test_the_expected_rate_of_an_unsupported_tau_counts_every_kind() -> None:
    """The rule of three for each kind: 3 of 1000 pairs is much more than 3 of a million."""
    few, many = curve(impostors=1000), curve()
    for parts in ([(few, 50), (many, 500)], [(many, 500), (few, 50)]):
        found = threshold_over(parts, 1e-6)
        met = [(made.fmr(found.tau) + 3 / made.impostors, number) for made, number in parts]
        assert found.expected == pytest.approx(1 - np.prod([(1 - m) ** n for m, n in met]))
