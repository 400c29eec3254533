"""Losses over angles, from pytorch-metric-learning; two of them get a safer gradient here."""

from __future__ import annotations

import math

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor, nn

MOST_COSINE = 1 - 2**-23
"""A float32 just below 1: the gradient of acos at 1 is infinite."""


def cosine_triplet(alpha: float) -> nn.Module:
    """max(cos(A, N) - cos(A, P) + alpha, 0) of each triplet, one value per triplet."""
    made: nn.Module = losses.TripletMarginLoss(
        alpha, distance=CosineSimilarity(), reducer=DoNothingReducer()
    )
    return made


def angular(alpha: float) -> nn.Module:
    """The mean over all genuine pairs of
    log(1 + sum_N exp(4 tan^2(alpha) (A + P) . N - 2 (1 + tan^2(alpha)) A . P)), alpha in degrees.

    Wang et al., Deep metric learning with angular loss, 2017.
    """
    return _Angular(alpha)


def cosface(alpha: float, scale: float, dim: int, people: int, seed: int) -> nn.Module:
    """The mean over images of -log softmax, with s (cos(theta) - alpha) for the image's own person
    and s cos(theta) for the others; theta is the angle to the person's centre.

    Wang et al., CosFace: Large margin cosine loss for deep face recognition, 2018.
    """
    made: nn.Module = losses.CosFaceLoss(
        people, dim, margin=alpha, scale=scale, weight_init_func=_Drawn(seed)
    )
    return made


def arcface(alpha: float, scale: float, dim: int, people: int, seed: int) -> nn.Module:
    """Like `cosface`, with s cos(theta + alpha) for the image's own person; alpha in radians.

    Beyond theta = pi - alpha the cosine would rise again; cos(theta) - alpha sin(alpha) is used
    there instead. Deng et al., ArcFace: Additive angular margin loss for deep face recognition,
    2019.
    """
    return _ArcFace(
        people, dim, margin=math.degrees(alpha), scale=scale, weight_init_func=_Drawn(seed)
    )


class _Drawn:
    """Fills the centres from a seed, without using torch's own generator."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, centres: Tensor) -> None:
        nn.init.normal_(centres, generator=torch.Generator().manual_seed(self.seed))


class _Angular(losses.AngularLoss):  # type: ignore[misc] # the package has no types
    """Selects pairs with index_select: several threads sum the gradient of plain indexing in any
    order, so that a resumed training would drift."""

    def get_pairs(self, embeddings: Tensor, *given: object) -> tuple[Tensor | None, ...]:
        *found, anchor, positive = super().get_pairs(embeddings, *given)
        if anchor is not None:
            unit = self.distance.normalize(embeddings)
            found[:2] = unit.index_select(0, anchor), unit.index_select(0, positive)
        return (*found, anchor, positive)


class _ArcFace(losses.ArcFaceLoss):  # type: ignore[misc]
    """Keeps the cosine below 1: an embedding exactly at its centre would have a gradient of NaN."""

    def get_angles(self, cosine: Tensor) -> Tensor:
        return torch.acos(cosine.clamp(-MOST_COSINE, MOST_COSINE))
