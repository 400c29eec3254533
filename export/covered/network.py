"""The covered head's network in PyTorch: trained here, and read out as layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces.covered import SIDE, STRIDE, in_light
from ostiary.edge.core.types import Image
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.heads import covered_file
from ostiary.edge.runtime.heads.covered_file import Layer

FILTERS = ((16, 5), (32, 3), (48, 3))
"""Filters of each convolution, and their side."""
HIDDEN = 32
DROPPED = 0.3
"""The share of values that training leaves out before a dense layer."""
EPOCHS, BATCH = 7, 256
RATE, DECAY = 3e-3, 1e-2
SURE = 0.99
"""What training asks for: never a certainty, so that single wrong labels do not count for much."""
DOUBT_FROM, DOUBTED = 0.4, 2.0
"""From this part of the training on, bare faces that look covered by this logit do not count: some
people on news photographs wear dark glasses, and nobody has labelled them."""
Say = Callable[[str], None]


def train(
    pictures: Image, covered: NDArray[np.bool_], say: Say, epochs: int = EPOCHS
) -> list[Layer]:
    """Layers that tell covered pictures (n, 56, 56, 3) from bare ones; always the same for the same
    input on the same machine.

    Raises BundleError without PyTorch.
    """
    torch = _torch()
    torch.manual_seed(0)
    net = _network(torch)
    rates = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    batches = max(len(pictures) // BATCH, 1)
    steps = epochs * batches
    course = torch.optim.lr_scheduler.OneCycleLR(rates, RATE, total_steps=steps)
    order = np.random.default_rng(0)
    done = 0
    for epoch in range(epochs):
        total = 0.0
        for rows in np.array_split(order.permutation(len(pictures)), batches):
            shown = torch.from_numpy(in_light(pictures[rows]).transpose(0, 3, 1, 2).copy())
            wanted = torch.from_numpy(covered[rows].astype(np.float32))
            said = net(shown)[:, 0]
            counted = torch.ones_like(wanted)
            if done >= DOUBT_FROM * steps:
                counted = 1 - ((said.detach() > DOUBTED) & (wanted == 0)).float()
            soft = wanted * (2 * SURE - 1) + 1 - SURE
            each = torch.nn.functional.binary_cross_entropy_with_logits(
                said, soft, reduction="none"
            )
            loss = (each * counted).mean()
            rates.zero_grad()
            loss.backward()
            rates.step()
            course.step()
            done, total = done + 1, total + float(loss.detach())
        say(f"epoch {epoch + 1} of {epochs}: loss {total / batches:.4f}")
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return [_layer(part) for part in net if isinstance(part, kinds)]


def _network(torch: Any) -> Any:
    nn, parts, taken, side = torch.nn, [], 3, SIDE
    for filters, size in FILTERS:
        parts += [nn.Conv2d(taken, filters, size, STRIDE, size // 2), nn.ReLU()]
        taken, side = filters, side // STRIDE
    parts += [nn.Flatten(), nn.Dropout(DROPPED), nn.Linear(taken * side * side, HIDDEN), nn.ReLU()]
    return nn.Sequential(*parts, nn.Dropout(DROPPED), nn.Linear(HIDDEN, 1))


def _layer(part: Any) -> Layer:
    weights, bias = (value.detach().numpy() for value in (part.weight, part.bias))
    return covered_file.layer(weights, bias)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise BundleError("fitting this head needs PyTorch", "pip install torch") from error
