"""Which triplets of a batch are learnt from: random, semi-hard, or the hardest of each anchor."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ostiary.edge.errors import ConfigError

Mining = Literal["random", "semi-hard", "hardest"]
NEVER = float("inf")


class Triplets(NamedTuple):
    """Rows of the batch, each (m,) int64: an anchor, another image of them, and someone else's."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


@torch.no_grad()
def choose(
    distances: Tensor, person: Tensor, how: str, alpha: float, rng: np.random.Generator
) -> Triplets:
    """The triplets of a batch, by its squared distances (n, n) and whose images they are (n,).

    Anchors stand in the batch's order; of equal distances the first row is taken, so the same batch
    gives the same triplets. An image whose person has no other here, or that has nobody else beside
    it, is no anchor: there may be no triplet at all. `alpha` is read by "semi-hard" only and `rng`
    by "random" only. Raises ConfigError for another `how`.

    "random": one triplet an anchor, the positive and the negative drawn alike.
    "semi-hard": see _semi_hard. "hardest": the farthest positive and the nearest negative of each
    anchor ("batch hard": Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017).
    """
    if how not in get_args(Mining):
        raise ConfigError(f"no mining {how!r}", f"one of {', '.join(get_args(Mining))}")
    same = person[:, None] == person[None, :]
    positive, negative = same & ~torch.eye(len(person), dtype=torch.bool, device=same.device), ~same
    positive &= negative.any(1, keepdim=True)
    if how == "semi-hard":
        return _semi_hard(distances, positive, negative, alpha)
    nearness = -distances
    if how == "random":
        distances = torch.from_numpy(rng.random(same.shape)).to(same.device)
        nearness = torch.from_numpy(rng.random(same.shape)).to(same.device)
    anchor = torch.where(positive.any(1))[0]
    return Triplets(
        anchor,
        _most(distances, positive)[anchor],
        _most(nearness, negative)[anchor],
    )


def _semi_hard(distances: Tensor, positive: Tensor, negative: Tensor, alpha: float) -> Triplets:
    """Every anchor and positive, with the nearest negative that is farther than the positive but by
    less than `alpha` (Schroff, Kalenichenko and Philbin, FaceNet, 2015).

    Where there is none, the mildest that still violates: of the negatives not farther than the
    positive the farthest, since the hardest ones early in training draw all faces to one point, as
    the paper warns. Where there is none of those either the triplet is met: the nearest negative.
    """
    a, p = torch.where(positive)
    to_positive, to_negative, negative = distances[a, p][:, None], distances[a], negative[a]
    violating = negative & (to_negative <= to_positive)
    between = negative & ~violating & (to_negative < to_positive + alpha)
    n = _most(-to_negative, negative)
    n = torch.where(violating.any(1), _most(to_negative, violating), n)
    return Triplets(a, p, torch.where(between.any(1), _most(-to_negative, between), n))


def _most(values: Tensor, among: Tensor) -> Tensor:
    """In each row the column of the greatest value of those `among`, the first where they tie."""
    return torch.where(among, values, -NEVER).argmax(1)
