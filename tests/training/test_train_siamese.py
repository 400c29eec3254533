"""Training is Siamese: the loop lowers what one shared branch of two or three inputs has."""

import numpy as np
import torch

from training.batches import Photos, Supervised
from training.encoders import Encoder, build
from training.losses import TripletLoss, squared_distance, triplet
from training.siamese import Siamese

ALPHA = 0.2
CROPS = np.random.default_rng(0).integers(0, 255, (3, 28, 28, 3), np.uint8)
ROWS, PERSON = np.arange(3), np.array([0, 0, 1])


def gradients(encoder: Encoder) -> list[torch.Tensor]:
    return [p.grad for p in encoder.parameters() if p.grad is not None]


def test_a_batch_of_the_loop_is_the_siamese_triplets_of_it() -> None:
    looped, shared = build("small-28", 0), build("small-28", 0)
    photos = Photos(CROPS, looped.spec)
    step = Supervised(looped, TripletLoss(ALPHA, "hardest"), photos, PERSON)(ROWS, (0, 1, 0))
    step.value.backward()
    a, p, n = Siamese(shared)(*photos.tensor(ROWS, (0, 1, 0), ROWS).split(1))
    # Both images of the first person are anchors, each with the other as its positive.
    value = torch.cat(
        [
            triplet(squared_distance(anchor, positive), squared_distance(anchor, n), ALPHA)
            for anchor, positive in ((a, p), (p, a))
        ]
    ).mean()
    value.backward()
    assert torch.allclose(step.value, value, atol=1e-6)
    theirs, ours = gradients(looped), gradients(shared)
    assert len(theirs) == len(list(shared.parameters()))
    assert any(g.abs().max() > 0 for g in ours)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(theirs, ours, strict=True))
