"""One branch, shared by two or three images: Siamese by construction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.encoders import Encoder


class Siamese(nn.Module):
    """f(a), f(b) and, of a triplet, f(c), by the same weights: there is only one branch to have.

    The images go through it in one batch, so that batch norm sees them together (Bromley et al.,
    Signature verification using a Siamese time delay neural network, 1993).
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        sizes = [len(each) for each in images]
        made: tuple[Tensor, ...] = torch.split(self.encoder(torch.cat(images)), sizes)
        return made
