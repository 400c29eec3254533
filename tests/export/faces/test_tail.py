"""The modelled tail: fitted to known laws, and right about people whom the fit never saw."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.types import Floats
from ostiary.export.faces import kinds, tail
from ostiary.export.faces.kinds import People
from ostiary.export.faces.tail import Pareto, TopScores, fit, share, table
from tests.support.export.made_up_people import people

START, SCALE = 0.3, 0.05
SHAPES = [-0.4, -0.15, 0.0, 0.2]


def survival(x: NDArray[np.float64], shape: float, scale: float) -> NDArray[np.float64]:
    """The share of exceedances above x, as Pickands gives it."""
    if shape == 0:
        return np.exp(-x / scale)
    return (1 + shape * x / scale) ** (-1 / shape)


def exceedances(shape: float, number: int, seed: int = 0) -> NDArray[np.float64]:
    """Random exceedances of the law, falling."""
    chance = np.random.default_rng(seed).uniform(size=number)
    if shape == 0:
        return np.sort(-SCALE * np.log(chance))[::-1]
    return np.sort(SCALE / shape * (chance**-shape - 1))[::-1]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_fit_finds_the_parameters_of_a_known_law(shape: float) -> None:
    scores = START + exceedances(shape, 20_000)
    found = fit(scores, np.ones(20_000), 1e7, rate=0.002)
    assert found.start == pytest.approx(START, abs=1e-3)
    assert found.rate == pytest.approx(0.002, rel=1e-3)
    assert found.shape == pytest.approx(shape, abs=0.04)
    assert found.scale == pytest.approx(SCALE, rel=0.05)


def test_a_weight_of_two_is_the_same_as_a_score_twice() -> None:
    scores = START + exceedances(-0.2, 400)
    weights = 1.0 + (np.arange(400) % 3 == 0)
    twice = np.repeat(scores, weights.astype(int))
    weighted = fit(scores, weights, 1e6, 4e-4)
    plain = fit(twice, np.ones(len(twice)), 1e6, 4e-4)
    assert weighted.shape == pytest.approx(plain.shape, abs=0.02)
    assert weighted.scale == pytest.approx(plain.scale, rel=0.02)
    assert weighted.rate == pytest.approx(plain.rate, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_is_the_inverse_of_the_survival_function(shape: float) -> None:
    fmr = 10.0 ** -np.arange(3, 12.1)
    scores = Pareto(START, 1e-3, shape, SCALE).score(fmr)
    assert scores[0] == pytest.approx(START)
    assert 1e-3 * survival(scores - START, shape, SCALE) == pytest.approx(fmr, rel=1e-6)


def test_the_shape_zero_is_the_limit_of_small_shapes() -> None:
    fmr = np.array([1e-4, 1e-7, 1e-10])
    at_zero = Pareto(START, 1e-3, 0.0, SCALE).score(fmr)
    for shape in (-1e-5, -1e-7, 1e-7, 1e-5):
        assert Pareto(START, 1e-3, shape, SCALE).score(fmr) == pytest.approx(at_zero, rel=1e-3)


def top(number: int = 1500, impostors: int = 500_000, persons: int = 300) -> TopScores:
    rng = np.random.default_rng(0)
    given = np.full(persons, 3)
    pairs = np.array([rng.choice(persons, 2, replace=False) for _ in range(number)])
    scores = (START + exceedances(-0.2, number)).astype(np.float32)
    return TopScores(scores, pairs, impostors, given, given)


def test_the_table_rises_and_its_safe_scores_are_higher() -> None:
    rows = table(top())
    fmr, tau, safe = (np.array([getattr(r, name) for r in rows]) for name in ("fmr", "tau", "safe"))
    assert fmr == pytest.approx(1e-3 * tail.RATES)
    assert (np.diff(tau) > 0).all()
    assert (np.diff(safe) > 0).all()
    assert (safe >= tau).all()
    apart = safe - tau
    assert apart[8] > 2 * apart[4] > 4 * apart[2], "far beyond the counted pairs less is known"
    assert rows == table(top()), "the same draws each time"
    fitted = fit(top().scores.astype(float), np.ones(1500), 500_000, 1e-3)
    assert tau == pytest.approx(fitted.score(fmr), abs=2e-5)


def test_the_safe_scores_are_those_of_a_naive_bootstrap_over_people() -> None:
    """Every pair counts as often as both its people were drawn, in plain loops."""
    given, draws = top(number=300, impostors=12 * 11 * 9 * 40, persons=12), 12
    rng = np.random.default_rng(0)
    rate = tail.share(given.impostors)
    assert rate is not None
    scores = given.scores.astype(float)
    found = []
    for _ in range(draws):
        drawn = rng.integers(0, 12, 12).tolist()
        times = [drawn.count(person) for person in range(12)]
        weights = [times[a] * times[b] for a, b in given.people]
        total = sum(9 * 40 * times[a] * times[b] for a in range(12) for b in range(12) if a != b)
        found.append(fit(scores, np.array(weights, float), total, rate).score(rate * tail.RATES))
    rows = table(given, draws)
    wanted = np.maximum(np.quantile(found, tail.SAFE, axis=0), [row.tau for row in rows])
    assert [row.safe for row in rows] == pytest.approx(wanted, abs=3e-5)


def test_too_few_pairs_have_no_tail() -> None:
    least = int(tail.LEAST_SCORES / tail.LARGEST_SHARE)
    assert share(least - 1) is None
    assert share(least) == tail.LARGEST_SHARE
    assert share(10 * tail.LEAST_SCORES) is None
    assert share(10**9) == tail.MODELLED_FROM
    assert table(top(impostors=least - 1)) == []
    assert table(top(number=tail.LEAST_SCORES - 1)) == []


def curve_of(given: People) -> DetCurve:
    found = kinds.score(given).curve("", draws=30)
    assert found is not None
    return found


def strangers(given: People) -> Floats:
    """The scores of every two people, by one photo of each."""
    first = given.templates[np.unique(given.person, return_index=True)[1]]
    return np.asarray((first @ first.T)[np.triu_indices(len(first), 1)])


def test_far_beyond_the_counted_pairs_fpir_holds_for_people_outside_of_the_fit() -> None:
    """Each draw fits the tail on some of its people; the pairs of all others are pooled.

    At this rate the counted pairs of a fit reach K = 300. Single fits err to both sides, and those
    that err low let in more than the others save: a door therefore takes the safe tail.
    """
    fpir, k, draws = 0.05, 30_000, 12
    matched = {"safe": 0, "plain": 0, "without": 0}
    pairs = 0
    for seed in range(draws):
        whole = people(2300, 2, seed, looks=10)
        fitted = curve_of(whole.only(whole.person < 300))
        held = strangers(whole.only(whole.person >= 300))
        assert fitted.tail is not None
        assert threshold(fitted, fpir, 250).supported
        plain = dataclasses.replace(fitted.tail, safe=fitted.tail.tau)
        curves = {
            "safe": fitted,
            "plain": dataclasses.replace(fitted, tail=plain),
            "without": dataclasses.replace(fitted, tail=None),
        }
        pairs += len(held)
        for name, curve in curves.items():
            found = threshold(curve, fpir, k)
            assert not found.supported
            matched[name] += int((held >= found.tau).sum())
    rates = {name: 1 - (1 - count / pairs) ** k for name, count in matched.items()}
    assert fpir / 4 < rates["safe"] < fpir
    assert fpir / 2 < rates["plain"] < 2 * fpir
    assert rates["without"] > 2 * fpir, "above every impostor seen is not enough"
