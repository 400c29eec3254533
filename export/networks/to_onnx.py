"""Writes a described network as ONNX, with its batch normalisations inside the convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.core.types import Floats
from ostiary.export.networks.parts import EPSILON, NORM, ConvolutionRow, Network
from ostiary.export.sources.tidy import OPSET

OPERATORS = {"relu": "Relu", "sigmoid": "Sigmoid"}


def write(network: Network, tensors: dict[str, Floats], taken: str, given: str) -> onnx.ModelProto:
    """The network with these weights: `taken` (1, 3, side, side) float32 to `given`
    (1, classes)."""
    made = _Graph(tensors, taken)
    for block in network.blocks:
        before = made.last
        for row in block.convolutions:
            made.convolve(row)
        if block.gates:
            shown = made.last
            made.add("GlobalAveragePool", shown)
            for row in block.gates:
                made.convolve(row)
            made.add("Mul", shown, made.last)
        if block.residual:
            made.add("Add", before, made.last)
    made.nodes.append(helper.make_node("Flatten", [made.last], [given], given, axis=1))
    side = network.side_px
    graph = helper.make_graph(
        made.nodes,
        "network",
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [1, network.classes])],
        made.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


class _Graph:
    """Nodes and weights so far; `last` is the newest value."""

    def __init__(self, tensors: dict[str, Floats], taken: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._tensors, self.last = tensors, taken

    def add(self, operator: str, *inputs: str, **attributes: Any) -> None:
        """Add a node that gives the new `last` value."""
        self.last = f"value{len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [self.last], self.last, **attributes)
        self.nodes.append(node)

    def convolve(self, row: ConvolutionRow) -> None:
        """Add a convolution of the last value, and its activation."""
        weight, bias = _folded(row, self._tensors)
        inputs = [self.last, self._constant(row.weight, weight)]
        if row.norm:
            inputs.append(self._constant(f"{row.norm}.folded", bias))
        self.add(
            "Conv",
            *inputs,
            kernel_shape=list(weight.shape[2:]),
            strides=[row.stride] * 2,
            pads=[row.padding] * 4,
            group=row.groups,
        )
        if row.activation == "prelu":
            slope = self._tensors[row.slope].reshape(-1, 1, 1)
            self.add("PRelu", self.last, self._constant(row.slope, slope))
        elif row.activation != "none":
            self.add(OPERATORS[row.activation], self.last)

    def _constant(self, name: str, value: NDArray[np.floating]) -> str:
        self.weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name


def _folded(
    row: ConvolutionRow, tensors: dict[str, Floats]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The kernel (out, in, h, w) and bias (out,) that do what convolution and normalisation do:
    w * g / s and b - m * g / s, with s = sqrt(var + EPSILON)."""
    height, width = row.shape[2:] or (1, 1)
    kernel = tensors[row.weight].astype(np.float64).reshape(*row.shape[:2], height, width)
    if not row.norm:
        return kernel, np.zeros(row.shape[0])
    gain, shift, mean, variance = (
        tensors[f"{row.norm}.{name}"].astype(np.float64) for name in NORM
    )
    factor = gain / np.sqrt(variance + EPSILON)
    return kernel * factor[:, None, None, None], shift - mean * factor
