"""The losses of a batch of embeddings by their distances, each a formula of the literature."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.mining import Mining, Triplets, choose

LEAST_SQUARED = 1e-12
"""Smaller squared distances are raised to this: the gradient of a root at zero is infinite."""


class LossValue(NamedTuple):
    """A batch's loss, a scalar, and the share of its triplets with a loss above 0 (None without
    triplets).

    For a batch without pairs or triplets the value is 0, and still has a gradient.
    """

    value: Tensor
    active: float | None


class BatchLoss(nn.Module):
    """The loss of a whole batch; its own parameters, such as people's centres, are learned too."""

    def forward(self, embeddings: Tensor, person: Tensor, rng: np.random.Generator) -> LossValue:
        """The loss of unit-length embeddings (n, dim); `person` (n,) int64 holds their people."""
        raise NotImplementedError


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||^2 of rows (n, dim): (n,). For unit vectors it is 2 - 2 * score, at most 4."""
    return (a - b).square().sum(-1)


def triplet(to_positive: Tensor, to_negative: Tensor, alpha: float) -> Tensor:
    """max(||f(A) - f(P)||^2 - ||f(A) - f(N)||^2 + alpha, 0) of squared distances (n,): (n,).

    Schroff, Kalenichenko and Philbin, FaceNet: A unified embedding for face recognition and
    clustering, 2015. If alpha were 0, putting all faces at one point would be a minimum.
    """
    return torch.relu(to_positive - to_negative + alpha)


def contrastive(squared: Tensor, genuine: Tensor, margin: float) -> Tensor:
    """D^2 / 2 for a genuine pair, max(margin - D, 0)^2 / 2 for an impostor pair: (n,).

    `squared` (n,) is D^2, and `genuine` (n,) marks the genuine pairs.

    Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping, 2006.
    """
    distance = squared.clamp_min(LEAST_SQUARED).sqrt()
    return torch.where(genuine, squared, torch.relu(margin - distance).square()) / 2


def pair_logit(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """sum_k w_k |a_k - b_k| + b of rows (n, dim): (n,); its sigmoid is P(same person).

    Taigman et al., DeepFace, 2014 (the weighted L1 Siamese metric); Koch, Zemel and Salakhutdinov,
    Siamese neural networks for one-shot image recognition, 2015.
    """
    return (a - b).abs() @ weight + bias


def distances(embeddings: Tensor) -> Tensor:
    """All squared distances (n, n) without a gradient, symmetric and exact for equal rows."""
    given = embeddings.detach()
    return torch.cdist(given, given, compute_mode="donot_use_mm_for_euclid_dist").square()


def _rows(embeddings: Tensor, chosen: Tensor) -> Tensor:
    """embeddings[chosen], with a gradient that is always summed in the same order: with plain
    indexing on several threads its last bits vary, and a resumed training would drift."""
    return embeddings.index_select(0, chosen)


class TripletLoss(BatchLoss):
    """The mean of `triplet` over the triplets that mining chooses."""

    def __init__(self, alpha: float, mining: Mining) -> None:
        super().__init__()
        self.alpha, self.mining = alpha, mining

    def forward(self, embeddings: Tensor, person: Tensor, rng: np.random.Generator) -> LossValue:
        chosen = choose(distances(embeddings), person, self.mining, self.alpha, rng)
        if not len(chosen.anchor):
            return LossValue(embeddings.sum() * 0, 0.0)
        losses = self.of(embeddings, person, chosen)
        return LossValue(losses.mean(), float((losses > 0).double().mean()))

    def of(self, embeddings: Tensor, person: Tensor, chosen: Triplets) -> Tensor:
        """The loss (m,) of each chosen triplet."""
        a, p, n = (_rows(embeddings, rows) for rows in chosen)
        return triplet(squared_distance(a, p), squared_distance(a, n), self.alpha)


class CosineTripletLoss(TripletLoss):
    """The mean of `cosine_triplet` over the triplets that mining chooses.

    For unit vectors it is half of `triplet` with twice this alpha, so both have the same minima.
    """

    def __init__(self, alpha: float, mining: Mining) -> None:
        super().__init__(2 * alpha, mining)
        from ostiary.training.losses.angular import cosine_triplet

        self.formula = cosine_triplet(alpha)

    def of(self, embeddings: Tensor, person: Tensor, chosen: Triplets) -> Tensor:
        losses: Tensor = self.formula(embeddings, person, chosen)["loss"]["losses"]
        return losses


class PairLoss(BatchLoss):
    """A loss over every pair of the batch; genuine and impostor pairs have half the weight each.

    All pairs are used, since a pair costs little once its embeddings are computed. The weights are
    equal, since only (K - 1) in (P * K - 1) pairs of P x K images are genuine: otherwise, calling
    everybody a stranger would be nearly the best answer, the more so the larger the batch. Memory
    grows with the square of the batch, about four rows per pair: for 192 numbers, 1.5 GB for 1000
    images and 25 GB for 4096.
    """

    def forward(self, embeddings: Tensor, person: Tensor, rng: np.random.Generator) -> LossValue:
        n = len(person)
        first, second = torch.triu_indices(n, n, 1, device=embeddings.device)
        genuine = person[first] == person[second]
        losses = self.of(_rows(embeddings, first), _rows(embeddings, second), genuine)
        kinds = [losses @ kind.to(losses) / kind.sum().clamp_min(1) for kind in (genuine, ~genuine)]
        return LossValue((kinds[0] + kinds[1]) / 2, None)

    def of(self, a: Tensor, b: Tensor, genuine: Tensor) -> Tensor:
        """The loss (n,) of pairs of rows (n, dim)."""
        raise NotImplementedError


class ContrastiveLoss(PairLoss):
    """`contrastive` over every pair."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def of(self, a: Tensor, b: Tensor, genuine: Tensor) -> Tensor:
        return contrastive(squared_distance(a, b), genuine, self.margin)


class LogisticLoss(PairLoss):
    """Binary cross-entropy on sigma of `pair_logit` over every pair; w and b are learned too.

    At the start, equal embeddings mean one person (logit 2) and orthogonal ones two people (about
    -2.5, since the sum of dim differences of random unit vectors is near 1.13 * sqrt(dim)).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim,), -4 / math.sqrt(dim)))
        self.bias = nn.Parameter(torch.tensor(2.0))

    def of(self, a: Tensor, b: Tensor, genuine: Tensor) -> Tensor:
        logit = pair_logit(a, b, self.weight, self.bias)
        return functional.binary_cross_entropy_with_logits(
            logit, genuine.to(logit.dtype), reduction="none"
        )


class AngularLoss(BatchLoss):
    """`angular` over the genuine pairs of the batch, each against all other people in it."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        from ostiary.training.losses.angular import angular

        self.formula = angular(alpha)

    def forward(self, embeddings: Tensor, person: Tensor, rng: np.random.Generator) -> LossValue:
        return LossValue(self.formula(embeddings, person), None)


class ClassLoss(BatchLoss):
    """Softmax over the people trained on, each with a learned centre; the margin makes it harder to
    assign an image to its own person.

    `person` must lie in 0..people-1; otherwise ConfigError is raised.
    """

    def __init__(self, formula: nn.Module, people: int) -> None:
        super().__init__()
        self.formula, self.people = formula, people

    def forward(self, embeddings: Tensor, person: Tensor, rng: np.random.Generator) -> LossValue:
        low, high = int(person.min()), int(person.max())
        if low < 0 or high >= self.people:
            raise ConfigError(
                f"people {low} to {high} in a batch, but the loss has centres for {self.people}",
                "number the people to train on from 0",
            )
        return LossValue(self.formula(embeddings, person), None)
