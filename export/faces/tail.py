"""The tail of the impostor scores by a generalized Pareto model, for rates too low to count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.det import TailRow

MODELLED_FROM = 1e-3
"""The share of the highest impostor scores that the model is fitted on."""
LEAST_SCORES = 100
LARGEST_SHARE = 0.02
RATES = 10.0 ** -np.arange(0, 9.01, 0.5)
"""The rates of the table as shares of `MODELLED_FROM`: down to one match in 10^12."""
SAFE = 0.8413
"""The quantile of a normal distribution one standard error above its mean."""
DRAWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class TopScores:
    """The highest impostor scores (t,), falling, of `impostors` pairs.

    `people` (t, 2) are the two people of each; `templates` and `probes` (people,) count how many
    of each a person gave to all pairs.
    """

    scores: Floats
    people: NDArray[np.int64]
    impostors: int
    templates: NDArray[np.int64]
    probes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pareto:
    """P(score > start + x) = rate * (1 + shape * x / scale)^(-1 / shape), for x >= 0.

    The exceedances of a high threshold follow this law for almost every distribution (Pickands,
    Statistical inference using extreme order statistics, 1975).
    """

    start: float
    rate: float
    shape: float
    scale: float

    def score(self, fmr: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score that a share `fmr` of all impostor pairs exceeds."""
        fall = np.log(np.asarray(fmr) / self.rate)
        if abs(self.shape) < 1e-6:
            return self.start - self.scale * fall
        return self.start + self.scale / self.shape * np.expm1(-self.shape * fall)


def share(impostors: int) -> float | None:
    """The share of the scores to fit on; None if there are too few pairs for a model."""
    found = max(MODELLED_FROM, LEAST_SCORES / impostors)
    return found if found <= LARGEST_SHARE else None


def fit(
    scores: NDArray[np.float64], weights: NDArray[np.float64], total: float, rate: float
) -> Pareto:
    """Fit the model to the highest scores, falling, each with a weight, of a weight of `total`.

    By probability-weighted moments (Hosking and Wallis, Parameter and quantile estimation for the
    generalized Pareto distribution, 1987): with a0 = E[X] and a1 = E[X (1 - F(X))], shape =
    2 - a0 / (a0 - 2 a1) and scale = a0 (1 - shape).
    """
    mass = np.cumsum(weights)
    cut = min(max(int(np.searchsorted(mass, rate * total)), 2), len(scores) - 1)
    start = float(scores[cut])
    beyond, weight = (scores[:cut] - start)[::-1], weights[:cut][::-1]
    whole = float(weight.sum())
    below = (np.cumsum(weight) - weight / 2) / whole
    a0 = float((weight * beyond).sum()) / whole
    a1 = float((weight * beyond * (1 - below)).sum()) / whole
    apart = max(a0 - 2 * a1, 1e-9)
    # The method holds for shapes below 1/2; a draw of few people may give any number.
    shape = min(max(2 - a0 / apart, -1.0), 0.5)
    return Pareto(start, whole / total, shape, max(a0 * (1 - shape), 1e-9))


def table(top: TopScores, draws: int = DRAWS, seed: int = 0) -> list[TailRow]:
    """The tail as rows of (FMR, score, score one standard error higher); empty for too few pairs.

    The standard error comes from a bootstrap over people, who are drawn with replacement on both
    sides of a pair, as in `core.scores.metrics.tar_interval`.
    """
    rate = share(top.impostors)
    if rate is None or len(top.scores) < LEAST_SCORES:
        return []
    scores = top.scores.astype(np.float64)
    rates = rate * RATES
    plain = fit(scores, np.ones(len(scores)), top.impostors, rate).score(rates)
    drawn = np.array(
        [fit(scores, *drawing, rate).score(rates) for drawing in _drawings(top, rate, draws, seed)]
    )
    safe = np.maximum(np.quantile(drawn, SAFE, axis=0), plain)
    step = 1e-6 * np.arange(len(rates))
    plain = np.maximum.accumulate(plain) + step
    safe = np.maximum.accumulate(safe) + step
    return [
        TailRow(float(f"{fmr:.6g}"), round(float(tau), 6), round(float(high), 6))
        for fmr, tau, high in zip(rates, plain, safe, strict=True)
    ]


def _drawings(
    top: TopScores, rate: float, draws: int, seed: int
) -> list[tuple[NDArray[np.float64], float]]:
    """For each draw of people, the weights of the scores and of all pairs."""
    rng = np.random.default_rng(seed)
    people = len(top.templates)
    given = _pairs(top.templates.astype(np.float64), top.probes.astype(np.float64))
    found: list[tuple[NDArray[np.float64], float]] = []
    while len(found) < draws:
        times = np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)
        weights = times[top.people[:, 0]] * times[top.people[:, 1]]
        total = _pairs(times * top.templates, times * top.probes) * top.impostors / given
        # A draw that left out almost everybody who is much like another person cannot be fitted.
        if weights.sum() > 0.1 * rate * total:
            found.append((weights, total))
    return found


def _pairs(templates: NDArray[np.float64], probes: NDArray[np.float64]) -> float:
    return float(templates.sum() * probes.sum() - (templates * probes).sum())
