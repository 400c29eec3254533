"""Measures how well scores rank pairs and how true probabilities are: AUC, calibration error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.heads.verifier_file import FMR, Bin
from ostiary.export.report import charts
from ostiary.export.report.charts import Chart, Plot

BINS = 15
DRAWS = 200
Values = NDArray[np.float64]
Rows = NDArray[np.int64]


class Ranking:
    """The area under the ROC curve of pairs, which may have weights.

    AUC is the chance that a genuine pair is above an impostor pair; a tie counts half (Hanley,
    McNeil 1982). `genuine` (g,) and `impostor` (i,) are scores, higher is closer.
    """

    def __init__(self, genuine: Values, impostor: Values) -> None:
        self._order = np.argsort(impostor)
        ranked = impostor[self._order]
        self._below = np.searchsorted(ranked, genuine, side="left")
        self._upto = np.searchsorted(ranked, genuine, side="right")

    def auc(self, genuine: NDArray[np.number], impostor: NDArray[np.number]) -> float:
        """The area, given the weights (g,) and (i,) of the pairs."""
        mass = np.concatenate([[0.0], np.cumsum(impostor[self._order])])
        beaten = (mass[self._below] + mass[self._upto]) / 2
        return float((genuine * beaten).sum() / (genuine.sum() * mass[-1]))


def areas(
    head: tuple[Values, Values],
    plain: tuple[Values, Values],
    people: tuple[Rows, Rows],
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Rate, Rate, Rate]:
    """(AUC of a head, AUC of the plain distance, gain), each with its 95 % interval.

    `head` and `plain` are (genuine, impostor) values of the same pairs; `people` are the people of
    these pairs: (g,) and (i, 2). The intervals are over people, not pairs; the gain's uses the same
    draws of people for both (Bolle, Ratha, Pankanti 2004).
    """
    own, two = people
    both = [Ranking(*values) for values in (head, plain)]
    rng, most = np.random.default_rng(seed), int(max(own.max(), two.max())) + 1
    present = np.unique(two)
    drawn = []
    for _ in range(draws):
        weight = np.bincount(rng.choice(present, len(present)), minlength=most)
        pairs = weight[own], weight[two[:, 0]] * weight[two[:, 1]]
        if pairs[0].any() and pairs[1].any():
            drawn.append([ranking.auc(*pairs) for ranking in both])
    once = np.ones(len(own)), np.ones(len(two))
    first, second = (ranking.auc(*once) for ranking in both)
    found = np.array(drawn)
    gains = found[:, 0] - found[:, 1]
    return _rate(first, found[:, 0]), _rate(second, found[:, 1]), _rate(first - second, gains)


def _rate(value: float, drawn: Values) -> Rate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Rate(value, float(low), float(high))


def fnmr(genuine: Values, impostor: Values) -> float:
    """The FNMR at an FMR of 1e-3: the share of genuine pairs below its threshold."""
    allowed = int(FMR * len(impostor))
    highest = np.partition(impostor, len(impostor) - allowed - 1)[len(impostor) - allowed - 1]
    return float((genuine <= highest).mean())


def reliability(genuine: Values, impostor: Values, prior: float, bins: int = BINS) -> list[Bin]:
    """The points of the reliability diagram: probabilities (0..1) in bins of equal width.

    The genuine pairs get the total weight `prior` and the impostor pairs 1 - `prior`, whatever
    their number, as among the claims that the probabilities are for. Empty bins are left out.
    """
    said = np.concatenate([genuine, impostor])
    weight = np.concatenate(
        [
            np.full(len(genuine), prior / len(genuine)),
            np.full(len(impostor), (1 - prior) / len(impostor)),
        ]
    )
    same = np.arange(len(said)) < len(genuine)
    place = np.minimum((said * bins).astype(np.int64), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        mass = float(weight[inside].sum())
        if mass > 0:
            mean = float((weight * said)[inside].sum() / mass)
            met = float(weight[inside & same].sum() / mass)
            counted = int((inside & same).sum()), int((inside & ~same).sum())
            found.append(Bin(min(mean, 1.0), min(met, 1.0), min(mass, 1.0), *counted))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: sum over bins of weight * |met - said|.

    Guo et al., On calibration of modern neural networks, 2017, equation 5; but the probability is
    that of one person on both photos, not that of the likelier answer.
    """
    return sum(item.weight * abs(item.met - item.said) for item in bins)


def diagram(bins: Sequence[Bin], title: str) -> Chart:
    """The reliability diagram: predicted probability against the share of genuine pairs.

    On the dashed line every probability is true. A tooltip on each point shows its counts.
    """
    x = charts.linear("mean predicted probability", 0, 1)
    y = charts.linear("share that is the same person", 0, 1)
    plot = Plot(title, x, y)
    plot.guide((0, 0), (1, 1))
    plot.line([(item.said, item.met) for item in bins], 0)
    for item in bins:
        note = (
            f"{item.weight:.2%} of the weight, {item.genuines} genuine and {item.impostors}"
            f" impostor pairs: predicted {item.said:.3f}, true {item.met:.3f}"
        )
        plot.dots([(item.said, item.met)], 0, note)
    return Chart(
        [plot.svg()],
        [(charts.key("line", 0), "the head"), (charts.key("mark weak"), "perfectly calibrated")],
    )
