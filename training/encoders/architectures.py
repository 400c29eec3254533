"""Encoders to train from scratch: a small one of the literature, a FaceNet-like one, and
MobileFaceNet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import ConfigError

LEAST_NORM = 1e-6
"""The least length to divide by, as in every exported encoder, so that an all-zero output stays
zero."""


class Encoder(nn.Module):
    """f of the literature: maps images (n, c, h, w), made by
    `edge.core.faces.preprocess.to_tensor`, to embeddings (n, dim) of unit length."""

    def __init__(self, spec: InputSpec, dim: int) -> None:
        super().__init__()
        self.spec, self.dim = spec, dim


class Stack(Encoder):
    """An encoder of layers in sequence, its output scaled to unit length."""

    def __init__(self, spec: InputSpec, dim: int, layers: nn.Sequential) -> None:
        super().__init__(spec, dim)
        self.layers = layers

    def forward(self, images: Tensor) -> Tensor:
        return unit(self.layers(images))


def unit(raw: Tensor) -> Tensor:
    """Scale each row to unit length; the gradient at zero is finite."""
    return functional.normalize(raw, dim=1, eps=LEAST_NORM)


def centre(encoder: Encoder, images: Tensor) -> None:
    """Shift the encoder so that the raw embeddings of some images (n, c, h, w) have a mean of zero.

    With random weights all faces lie near one point, at cosines of .99. From there the hardest
    triplets draw them together for good: with all faces at one point the loss is alpha, and its
    gradient nearly zero. Batch norms first take their statistics from the images, so that the mean
    is zero both in training and in evaluation. An encoder that ends in a batch norm needs no shift.
    """
    if not isinstance(encoder, Stack) or not isinstance(encoder.layers[-1], nn.Linear):
        return
    was = encoder.training
    with torch.no_grad():
        _adopt(encoder.layers, images)
        encoder.eval()
        encoder.layers[-1].bias.sub_(encoder.layers(images).mean(0))
    encoder.train(was)


def _adopt(layers: nn.Module, images: Tensor) -> None:
    """Give every batch norm the statistics of these images only."""
    norms = [layer for layer in layers.modules() if isinstance(layer, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    layers.train()(images)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build an encoder, and a line that describes it."""

    says: str
    spec: InputSpec
    dim: int
    layers: Callable[[], nn.Sequential]


def build(name: str, seed: int) -> Encoder:
    """A new encoder with weights drawn from the seed; torch's own generator is not touched.

    Raises ConfigError for an unknown name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"no architecture {name!r}", f"use one of {', '.join(ARCHITECTURES)}")
    chosen = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Stack(chosen.spec, chosen.dim, chosen.layers())


def small() -> nn.Sequential:
    """Two Convs and a full layer: 28x28 becomes 8x13x13, pooled 8x6x6, then 16x2x2, then 128
    values."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 4, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 2 * 2, 128),
    )  # fmt: skip


def facenet_like() -> nn.Sequential:
    """Convs that halve the image five times and a full layer, 128 values as in Schroff et al.,
    FaceNet, 2015, but without inception blocks: a door's owner does not have 200 million photos."""
    widths = (3, 16, 32, 64, 96, 128)
    blocks: list[nn.Module] = []
    for before, after in pairwise(widths):
        blocks += [_conv(before, after, 3, 2), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(128 * 4 * 4, 128))


def _conv(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A Conv and its batch norm, which the export folds into the Conv."""
    pad = kernel // 2
    conv = nn.Conv2d(before, after, kernel, stride, pad, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual as in MobileFaceNet: widen, depthwise Conv, narrow again."""

    def __init__(self, before: int, after: int, factor: int, stride: int, act: Activation) -> None:
        super().__init__()
        wide = before * factor
        self.layers = nn.Sequential(
            _conv(before, wide, 1), act(wide),
            _conv(wide, wide, 3, stride, wide), act(wide),
            _conv(wide, after, 1),
        )  # fmt: skip
        self.adds = stride == 1 and before == after

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = self.layers(given)
        return given + made if self.adds else made


Activation = Callable[[int], nn.Module]
BLOCKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, repeats, and the stride of the first: table 1 of Chen et al.,
MobileFaceNets, 2018."""


def mobilefacenet(act: Activation) -> nn.Sequential:
    """112x112 to 192 values; a depthwise Conv weighs each place of the last 7x7, in place of a
    mean."""
    layers: list[nn.Module] = [_conv(3, 64, 3, 2), act(64), _conv(64, 64, 3, 1, 64), act(64)]
    width = 64
    for factor, channels, repeats, first in BLOCKS:
        for at in range(repeats):
            layers.append(Bottleneck(width, channels, factor, first if at == 0 else 1, act))
            width = channels
    layers += [_conv(width, 512, 1), act(512)]
    places = nn.Conv2d(512, 512, 7, groups=512, bias=False)
    layers += [places, nn.BatchNorm2d(512), nn.Conv2d(512, 192, 1, bias=False), nn.BatchNorm2d(192)]
    return nn.Sequential(*layers, nn.Flatten())


RGB_112 = InputSpec((112, 112), "rgb", 127.5, 128.0)
ARCHITECTURES: dict[str, Architecture] = {
    "small-28": Architecture(
        "28x28 grey; conv 8 k4 s2, pool 2, conv 16 k4 s2, fc 128: the literature's small network",
        InputSpec((28, 28), "gray", 127.5, 128.0), 128, small,
    ),
    "facenet-128": Architecture(
        "112x112; five strided Convs with batch norm, 128 values", RGB_112, 128, facenet_like
    ),
    "mobilefacenet-prelu": Architecture(
        "112x112; MobileFaceNet, 192 values", RGB_112, 192, lambda: mobilefacenet(nn.PReLU)
    ),
    "mobilefacenet-relu": Architecture(
        "112x112; MobileFaceNet with ReLU, which int8 fuses and rounds best", RGB_112, 192,
        lambda: mobilefacenet(lambda _: nn.ReLU()),
    ),
}  # fmt: skip
