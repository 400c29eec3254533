"""A network as a plain table, from which ONNX and PyTorch build the same graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NORM = ("weight", "bias", "running_mean", "running_var")
"""The tensors of a batch normalisation; a weights file has `num_batches_tracked` beside them, which
counts steps of the training and takes no part in the result."""
COUNTER = "num_batches_tracked"
EPSILON = 1e-5
"""What a batch normalisation adds to the variance: PyTorch's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionRow:
    """A convolution without a bias, then a batch normalisation, then an activation.

    `weight`, `norm` and `slope` name tensors of the weights file: `slope` that of a PReLU, `norm`
    the prefix of a normalisation's four. An empty name: there is none.
    """

    weight: str
    shape: tuple[int, ...]
    """(outputs, inputs of a group, height, width); a dense layer, (outputs, inputs), is a
    convolution of one pixel."""
    norm: str = ""
    activation: Literal["prelu", "relu", "sigmoid", "none"] = "none"
    slope: str = ""
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors, by name."""
        wide = (self.shape[0],)
        found = {self.weight: self.shape}
        if self.norm:
            found |= {f"{self.norm}.{name}": wide for name in NORM}
        if self.slope:
            found[self.slope] = wide
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Convolutions one after another.

    `gates` are convolutions of the result's mean over its pixels; the result is multiplied by what
    they give (squeeze and excitation, Hu et al. 2018). With `residual` the block's input is added.
    """

    convolutions: tuple[ConvolutionRow, ...]
    gates: tuple[ConvolutionRow, ...] = ()
    residual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Blocks one after another, from images (n, 3, side, side) to logits (n, classes)."""

    side_px: int
    classes: int
    blocks: tuple[Block, ...]

    def convolutions(self) -> Iterator[ConvolutionRow]:
        """Every convolution, in the order of the computation."""
        for block in self.blocks:
            yield from block.convolutions
            yield from block.gates

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors that the network takes, by name."""
        return {name: of for row in self.convolutions() for name, of in row.tensors().items()}

    def counters(self) -> set[str]:
        """Names of tensors that a weights file may have and the network does not take."""
        return {f"{row.norm}.{COUNTER}" for row in self.convolutions() if row.norm}
