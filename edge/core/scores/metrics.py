"""Error rates of recognition and their confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Scores of all pairs of images, with the people in them.

    `genuine` (g,) are scores of one person, who is in `genuine_person` (g,). `tail` (t,) are the
    highest impostor scores, in falling order, with their two people in `tail_people` (t, 2);
    `impostors` is the number of all impostor pairs; `images` (people,) counts images per person.
    """

    genuine: Scores
    genuine_person: NDArray[np.int64]
    tail: Scores
    tail_people: NDArray[np.int64]
    impostors: int
    images: NDArray[np.int64]


def tau_at_fmr(pairs: Pairs, fmr: float) -> float:
    """The lowest threshold at which at most a share `fmr` of the impostor pairs match.

    Raises ValueError if `tail` has too few pairs for such a high rate.
    """
    allowed = int(fmr * pairs.impostors)
    if allowed >= len(pairs.tail):
        raise ValueError(f"a tail of {len(pairs.tail)} pairs cannot show an FMR of {fmr}")
    return float(np.nextafter(pairs.tail[allowed], np.float32(2)))


def tar_at_fmr(pairs: Pairs, fmr: float) -> float:
    """The true accept rate (1 - FNMR) at the threshold that gives `fmr`."""
    return float((pairs.genuine >= tau_at_fmr(pairs, fmr)).mean())


def tar_interval(pairs: Pairs, fmr: float, draws: int = 400, seed: int = 0) -> Rate:
    """`tar_at_fmr` with a bootstrap interval over people, not pairs.

    Pairs that share a person are not independent; drawing whole people keeps dependent pairs
    together (Bolle, Ratha, Pankanti 2004). The threshold is computed anew in each draw.
    """
    return interval(tar_at_fmr(pairs, fmr), _drawn(pairs, fmr, draws, seed))


def tar_loss(before: Pairs, after: Pairs, fmr: float, draws: int = 400, seed: int = 0) -> Rate:
    """How much lower `tar_at_fmr` is for `after` than for `before`, with a bootstrap interval.

    Both must be of the same images. Each draw takes the same people for both, so that the interval
    shows the uncertainty of the difference, not of the choice of people.
    """
    drawn = _drawn(before, fmr, draws, seed) - _drawn(after, fmr, draws, seed)
    return interval(tar_at_fmr(before, fmr) - tar_at_fmr(after, fmr), drawn)


def interval(value: float, drawn: NDArray[np.float64]) -> Rate:
    """A value with the bounds that hold 95 % of what was drawn."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Rate(value, float(low), float(high))


def rate_over(errors: NDArray[np.float64], trials: NDArray[np.float64], draws: int = 1000) -> Rate:
    """The error rate from the errors and trials of each person, both (n,), with a bootstrap
    interval over people."""
    met = np.flatnonzero(trials)
    rows = np.random.default_rng(0).choice(met, (draws, len(met)))
    drawn = errors[rows].sum(1) / trials[rows].sum(1)
    return interval(float(errors.sum() / trials.sum()), drawn)


def eer(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The equal error rate of two kinds of scores, neither empty: the share of `higher` below, and
    of `lower` at or above, the threshold at which these two are nearest; their mean there."""
    up, down = np.sort(higher), np.sort(lower)
    cuts = np.unique(np.concatenate([up, down, [np.inf]]))
    missed = np.searchsorted(up, cuts, side="left") / len(up)
    passed = 1 - np.searchsorted(down, cuts, side="left") / len(down)
    at = int(np.abs(missed - passed).argmin())
    return float(missed[at] + passed[at]) / 2


def _drawn(pairs: Pairs, fmr: float, draws: int, seed: int) -> NDArray[np.float64]:
    """`tar_at_fmr` of random draws of people, with replacement."""
    rng = np.random.default_rng(seed)
    people = len(pairs.images)
    order = np.argsort(-pairs.genuine)
    genuine, owner = pairs.genuine[order], pairs.genuine_person[order]
    drawn = []
    for _ in range(draws):
        weight = np.bincount(rng.integers(0, people, people), minlength=people)
        total = between_people(weight * pairs.images)
        mass = np.cumsum(weight[pairs.tail_people[:, 0]] * weight[pairs.tail_people[:, 1]])
        cut = min(int(np.searchsorted(mass, fmr * total, side="right")), len(mass) - 1)
        accepted = np.searchsorted(-genuine, -pairs.tail[cut], side="left")
        weights = weight[owner]
        drawn.append(weights[:accepted].sum() / max(weights.sum(), 1))
    return np.array(drawn)


def between_people(images: NDArray[np.int64]) -> float:
    """The number of pairs of images of two different people."""
    return float(images.sum() ** 2 - (images**2).sum()) / 2


def proportion(errors: int, trials: int) -> Rate:
    """An error rate of independent trials with its Wilson score interval (Wilson 1927).

    Raises ValueError without trials: a rate that was not measured is not 0.
    """
    if trials <= 0:
        raise ValueError("a rate needs at least one trial")
    z2 = 1.959964**2
    p = errors / trials
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = np.sqrt(z2 * (p * (1 - p) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return Rate(p, max(0.0, float(centre - spread)), min(1.0, float(centre + spread)))
