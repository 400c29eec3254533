"""An encoder in training that rounds as its int8 file does, with weights in int8 steps.

Rounding has no useful gradient, so the gradient is passed straight through (Bengio et al.,
Estimating or Propagating Gradients Through Stochastic Neurons, 2013; Jacob et al., Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018). Learned weights
are kept in int8 steps, so that one learning rate suits filters that differ by powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from torch import Tensor

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import equalise, quantize
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Table
from ostiary.training.encoders.onnx_encoder import OnnxEncoder

LEAST, MOST = -128, quantize.MOST
"""The range of an activation's int8 codes."""
INSIDE = 0.499
"""A weight this close to a code rounds to the code, whatever the last bit of its scale."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """A Conv or Gemm in int8.

    `codes` are those of its weight in the file, from -`most` to `most`; `scale` is their scale per
    output channel, in the weight's shape. `bias` is the size of a step of the learned bias: it
    moves a channel as much as a step of one weight does if the input is at the end of its range.
    """

    codes: Tensor
    most: int
    scale: Tensor
    bias: Tensor


class FakeInt8(OnnxEncoder):
    """The trainable int8 encoder of a calibration table: computes in float what its Q/DQ file does.

    Weights and biases of the layers in int8 are learned; PReLU slopes and all ranges are fixed.
    """

    def __init__(self, model: onnx.ModelProto, table: Table, spec: InputSpec) -> None:
        """`model` is the table's float encoder. Raises BundleError if the table does not fit it."""
        prepared = quantize.correct(equalise.apply(model, table.exponents), table.biases)
        super().__init__(prepared, spec)
        self.requires_grad_(requires_grad=False)
        self._table, self._float = table, model
        file = quantize.insert(prepared, table)
        self._given, self._layers = _given(file), _layers(file, table)
        self._inputs = {n.name: list(n.input) for n in prepared.graph.node}
        self._biases: dict[str, Tensor] = {}
        for name, layer in self._layers.items():
            self._begin(name, layer)
        self.change = self._rounded

    def _begin(self, node: str, layer: _Layer) -> None:
        """Keep weight and bias in int8 steps; at the start they round to the file's values."""
        weight, *bias = (self.weight(name) for name in self._inputs[node][1:])
        beside = weight.data / layer.scale - layer.codes
        weight.data = layer.codes + beside.clamp(-INSIDE, INSIDE)
        weight.requires_grad_()
        for held in bias:
            self._biases[node] = held.data
            held.data = torch.zeros_like(held)
            held.requires_grad_()

    def _rounded(self, node: onnx.NodeProto, inputs: list[Tensor]) -> list[Tensor]:
        """A node's inputs, rounded where the file rounds them, even at a residual Add."""
        made = [
            value if scale is None else rounded(value, scale)
            for value, scale in zip(inputs, self._given[node.name], strict=True)
        ]
        layer = self._layers.get(node.name)
        if layer is not None:
            made[1] = rounded(made[1], 1.0, -layer.most, layer.most) * layer.scale
        if layer is not None and node.name in self._biases:
            made[2] = self._biases[node.name] + made[2] * layer.bias
        return made

    def to_onnx(self) -> onnx.ModelProto:
        """The Q/DQ file with the learned weights."""
        return quantize.quantize(self._float, self.taught())

    def taught(self) -> Table:
        """The table with the learned weights; its Q/DQ file computes what this encoder does."""
        steps, biases = dict(self._table.steps), dict(self._table.biases)
        for name, layer in self._layers.items():
            weight, *bias = (self.weight(name).data for name in self._inputs[name][1:])
            learned = (weight.clamp(-layer.most, layer.most).round() - layer.codes).numpy()
            if name in steps:
                learned += tables.unpacked(steps[name], learned.shape, name)
            steps[name] = tables.packed(learned)
            for held in bias:
                added = (held * layer.bias).numpy()
                biases[name] = _short(added + np.array(biases.get(name, 0 * added)))
        return msgspec.structs.replace(self._table, steps=steps, biases=biases)


class _Rounded(torch.autograd.Function):
    """Rounding with a straight-through gradient. Torch's own fake quantization takes three times as
    long on a CPU, and multiplies by 1/scale instead of dividing by the scale as ONNX does, which
    gives another code for values halfway between two."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float, least: int, most: int) -> Tensor:
        ctx.save_for_backward(values)
        ctx.range = (least - 0.5) * scale, (most + 0.5) * scale
        return (values / scale).round_().clamp_(least, most).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (values,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, values, *ctx.range), None, None, None


def rounded(values: Tensor, scale: float, least: int = LEAST, most: int = MOST) -> Tensor:
    """Values rounded as int8 does: half to even, clipped to `least`..`most` steps of `scale`.

    The gradient is that of clipping alone.
    """
    made: Tensor = _Rounded.apply(values, scale, least, most)  # type: ignore[no-untyped-call]
    return made


def _short(values: Floats) -> list[float]:
    """Values with five digits, as in a measured table: finer than a thousandth of an int8 step."""
    return [float(f"{value:.5g}") for value in values]


def _given(file: onnx.ModelProto) -> dict[str, list[float | None]]:
    """The scales by which the inputs of each node are rounded, by node name; None: not rounded."""
    held = normal_form.weights(file)
    scales = {
        node.output[0]: float(held[node.input[1]])
        for node in file.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in held
    }
    return {node.name: [scales.get(name) for name in node.input] for node in file.graph.node}


def _layers(file: onnx.ModelProto, table: Table) -> dict[str, _Layer]:
    """The int8 layers by node name, read from the file so that no formula is written twice."""
    held, made = normal_form.weights(file), {name: n for n in file.graph.node for name in n.output}
    given, found = _given(file), {}
    for node, codes in quantize.codes_of(file).items():
        source = next(n for n in made.values() if codes in n.input)
        per_channel = torch.from_numpy(held[source.input[1]])
        shape = [1] * held[codes].ndim
        shape[normal_form.attribute(source, "axis", 1)] = -1
        reach = (given[node][0] or 0.0) * MOST
        start = torch.from_numpy(held[codes].astype(np.float32))
        found[node] = _Layer(
            start, quantize.most(table, node), per_channel.reshape(shape), per_channel * reach
        )
    return found
