"""The losses by name, with the range of their alpha: what settings may choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.distance import (
    AngularLoss,
    BatchLoss,
    ClassLoss,
    ContrastiveLoss,
    CosineTripletLoss,
    LogisticLoss,
    TripletLoss,
)
from ostiary.training.losses.mining import Mining


class LossOptions(NamedTuple):
    """The options of a loss: `alpha` in the loss's unit, `scale` for losses with centres."""

    dim: int
    people: int
    alpha: float
    mining: Mining
    scale: float
    seed: int


class LossKind(NamedTuple):
    """A kind of loss: a line that describes it, its default alpha, and alpha's upper limit."""

    says: str
    alpha: float
    below: float
    build: Callable[[LossOptions], BatchLoss]


def _of_centres(name: Literal["cosface", "arcface"]) -> Callable[[LossOptions], BatchLoss]:
    def build(asked: LossOptions) -> BatchLoss:
        # Import only when needed: pytorch-metric-learning loads all of SciPy's statistics.
        from ostiary.training.losses import angular as angular_losses

        formula = angular_losses.cosface if name == "cosface" else angular_losses.arcface
        made = formula(asked.alpha, asked.scale, asked.dim, asked.people, asked.seed)
        return ClassLoss(made, asked.people)

    return build


LOSSES = {
    "triplet": LossKind(
        "triplets; alpha is a squared distance",
        0.2,
        4,
        lambda asked: TripletLoss(asked.alpha, asked.mining),
    ),
    "contrastive": LossKind(
        "all pairs; alpha is a distance", 1, 2, lambda asked: ContrastiveLoss(asked.alpha)
    ),
    "logistic": LossKind(
        "all pairs, with learned weights; no alpha", 0, 0, lambda asked: LogisticLoss(asked.dim)
    ),
    "cosine-triplet": LossKind(
        "triplets; alpha is a cosine",
        0.1,
        2,
        lambda asked: CosineTripletLoss(asked.alpha, asked.mining),
    ),
    "angular": LossKind(
        "genuine pairs; alpha is an angle in degrees",
        40,
        90,
        lambda asked: AngularLoss(asked.alpha),
    ),
    "cosface": LossKind("a centre per person; alpha is a cosine", 0.35, 2, _of_centres("cosface")),
    "arcface": LossKind(
        "a centre per person; alpha is an angle in radians",
        0.5,
        math.pi / 2,
        _of_centres("arcface"),
    ),
}


def make(
    name: str,
    dim: int,
    people: int,
    *,
    alpha: float | None = None,
    mining: Mining = "semi-hard",
    scale: float = 64.0,
    seed: int = 0,
) -> BatchLoss:
    """Build a loss of LOSSES for embeddings of `dim` numbers and `people` people to train on.

    `alpha`, the margin, is in the unit that its LossKind names; None means the default. The triplet
    losses use `mining`, those with a centre per person use `scale`, `people` and `seed`. Raises
    ConfigError for an unknown name, or an alpha out of the loss's range.
    """
    kind = LOSSES.get(name)
    if kind is None:
        raise ConfigError(f"no loss {name!r}", f"use one of {', '.join(LOSSES)}")
    if alpha is not None and not 0 <= alpha < kind.below:
        hint = f"give 0 or more, below {kind.below:g}" if kind.below else "leave alpha out"
        raise ConfigError(f"loss {name}: alpha {alpha:g} is out of range", f"{kind.says}; {hint}")
    taken = kind.alpha if alpha is None else alpha
    return kind.build(LossOptions(dim, people, taken, mining, scale, seed))
