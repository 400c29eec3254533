"""Embeddings of a small batch and losses in float64, for the tests of losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ostiary.training.losses.by_name import make
from ostiary.training.losses.distance import BatchLoss, LossValue

PERSON = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
DIM = 5
OF_TRIPLETS = ("triplet", "cosine-triplet")
OF_PEOPLE = ("cosface", "arcface")


def unit(n: int = len(PERSON), dim: int = DIM, seed: int = 0) -> Tensor:
    """Embeddings in float64, so that a formula is told from a nearly equal one."""
    drawn = np.random.default_rng(seed).normal(size=(n, dim))
    return functional.normalize(torch.from_numpy(drawn))


def made(name: str, **settings: Any) -> BatchLoss:
    return make(name, DIM, 4, **settings).double()


def taken(loss: BatchLoss, embeddings: Tensor, person: Tensor = PERSON) -> LossValue:
    step: LossValue = loss(embeddings, person, np.random.default_rng(7))
    return step
