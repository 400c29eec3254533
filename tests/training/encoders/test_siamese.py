"""Training is Siamese: what the loop lowers is what one shared branch makes of each input."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ostiary.training.encoders.architectures import Encoder, build
from ostiary.training.losses.distance import (
    BatchLoss,
    ContrastiveLoss,
    TripletLoss,
    contrastive,
    squared_distance,
    triplet,
)
from ostiary.training.run.batches import Photos, Supervised

ALPHA, MARGIN, KEY = 0.2, 1.0, (0, 1, 0)
CROPS = np.random.default_rng(0).integers(0, 255, (3, 28, 28, 3), np.uint8)


def of_a_pair(a: Tensor, b: Tensor) -> Tensor:
    """Of two people: impostor pairs count half, and there are no others."""
    return contrastive(squared_distance(a, b), torch.tensor([False]), MARGIN).mean() / 2


def of_a_triplet(a: Tensor, p: Tensor, n: Tensor) -> Tensor:
    """Both images of the first person are anchors, each with the other as its positive."""
    both = [
        triplet(squared_distance(anchor, positive), squared_distance(anchor, n), ALPHA)
        for anchor, positive in ((a, p), (p, a))
    ]
    return torch.cat(both).mean()


def gradients(encoder: Encoder) -> list[Tensor]:
    return [p.grad for p in encoder.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("loss", "person", "formula"),
    [
        (ContrastiveLoss(MARGIN), [0, 1], of_a_pair),
        (TripletLoss(ALPHA, "hardest"), [0, 0, 1], of_a_triplet),
    ],
    ids=["two inputs", "three inputs"],
)
def test_every_input_of_the_loop_goes_through_one_shared_branch(
    loss: BatchLoss, person: list[int], formula: Callable[..., Tensor]
) -> None:
    looped, branch = build("small-28", 0), build("small-28", 0)
    photos, rows = Photos(CROPS, looped.spec), np.arange(len(person))
    step = Supervised(looped, loss, photos, np.array(person))(rows, KEY)
    step.value.backward()  # type: ignore[no-untyped-call]
    ones = photos.tensor(rows, KEY, rows).split(1)  # type: ignore[no-untyped-call]
    value = formula(*(branch(one) for one in ones))
    value.backward()  # type: ignore[no-untyped-call]
    assert value > 0
    assert torch.allclose(step.value, value, atol=1e-6)
    theirs, ours = gradients(looped), gradients(branch)
    assert len(theirs) == len(list(branch.parameters()))
    assert any(g.abs().max() > 0 for g in ours)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(theirs, ours, strict=True))
