"""Chooses the triplets of a batch: random, semi-hard, or the hardest of each anchor."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ostiary.edge.errors import ConfigError

Mining = Literal["random", "semi-hard", "hardest"]
NEVER = float("inf")


class Triplets(NamedTuple):
    """Rows of the batch, each (m,) int64: anchor, another image of the same person, and an image
    of someone else."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


@torch.no_grad()
def choose(
    distances: Tensor, person: Tensor, how: str, alpha: float, rng: np.random.Generator
) -> Triplets:
    """The triplets of a batch with squared distances (n, n); `person` (n,) is whose each image is.

    "random": one triplet per anchor, its positive and negative drawn at random. "semi-hard": see
    _semi_hard. "hardest": the farthest positive and the nearest negative of each anchor ("batch
    hard": Hermans, Beyer and Leibe, In Defense of the Triplet Loss, 2017).

    Anchors are in the batch's order; of rows at equal distances the first is taken, so that the
    same batch gives the same triplets. An image is an anchor only if the batch holds another image
    of its person and one of somebody else; there may be no triplet at all. Only "semi-hard" uses
    `alpha`, only "random" uses `rng`. Raises ConfigError for another `how`.
    """
    if how not in get_args(Mining):
        raise ConfigError(f"no mining {how!r}", f"use one of {', '.join(get_args(Mining))}")
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
    """For every anchor and positive, the nearest negative that is farther than the positive by less
    than `alpha` (Schroff, Kalenichenko and Philbin, FaceNet, 2015).

    If no negative is in that range, the farthest negative that is not farther than the positive is
    taken: the paper warns that the hardest negatives draw all faces to one point early in training.
    If every negative is farther than that range, the nearest one is taken, and the triplet has no
    loss.
    """
    a, p = torch.where(positive)
    to_positive, to_negative, negative = distances[a, p][:, None], distances[a], negative[a]
    violating = negative & (to_negative <= to_positive)
    between = negative & ~violating & (to_negative < to_positive + alpha)
    n = _most(-to_negative, negative)
    n = torch.where(violating.any(1), _most(to_negative, violating), n)
    return Triplets(a, p, torch.where(between.any(1), _most(-to_negative, between), n))


def _most(values: Tensor, among: Tensor) -> Tensor:
    """Per row, the column of the greatest value where `among` is true; the first of equal ones."""
    return torch.where(among, values, -NEVER).argmax(1)
