"""Scales the channels before a depthwise Conv to one range, exactly, by powers of two.

A depthwise Conv reads each channel by itself, but int8 has one scale for the whole tensor: if one
channel spans 200 and another 1, the small one is left with a bit or two. The Conv that writes
channel c is scaled by s, and the depthwise Conv that reads it by 1/s. That changes no result (a
PReLU between them is homogeneous), and weights have one scale per channel anyway. This is
cross-layer equalisation (Nagel et al., Data-free quantization, 2019) by measured activations
instead of weights; powers of two keep every float product exact.
"""

from __future__ import annotations

import numpy as np
import onnx

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form

HOMOGENEOUS = {"PRelu", "Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"}
"""Operators with f(s*x) = s*f(x) for s > 0, channel by channel."""


def targets(model: onnx.ModelProto) -> dict[str, tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Pairs of a Conv and the depthwise Conv after it, by the latter's input tensor.

    A pair is left out if another node reads a tensor between the two: that node would see scaled
    values.
    """
    held = normal_form.weights(model)
    made = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    found = {}
    for node in model.graph.node:
        if normal_form.is_depthwise(node, held):
            writer = _writer(node.input[0], made, readers)
            if writer is not None and writer.input[1] in held:
                found[node.input[0]] = (writer, node)
    return found


def _writer(
    name: str, made: dict[str, onnx.NodeProto], readers: dict[str, int]
) -> onnx.NodeProto | None:
    """The Conv whose output reaches a tensor through homogeneous operators alone, or None."""
    node = made.get(name)
    while node is not None and readers.get(name) == 1:
        if node.op_type == "Conv":
            return node
        if node.op_type not in HOMOGENEOUS:
            return None
        name = node.input[0]
        node = made.get(name)
    return None


def exponents(spans: Floats) -> list[int]:
    """The exponent of 2 that brings each channel's span nearest to the tensor's mean span.

    It is 0 for a channel that is almost always 0, so that noise does not fill the range.
    """
    alive = spans > spans.max() * 1e-6
    level = np.log2(np.where(alive, spans, 1).astype(np.float64))
    middle = level[alive].mean() if alive.any() else 0.0
    wanted = np.where(alive, np.round(middle - level), 0.0)
    return [int(e) for e in np.clip(wanted, -20, 20)]


def apply(model: onnx.ModelProto, chosen: dict[str, list[int]]) -> onnx.ModelProto:
    """A copy with scaled channels and the same embeddings.

    Raises BundleError if `chosen` does not fit the model.
    """
    made = normal_form.copy(model)
    held = normal_form.weights(made)
    pairs = targets(made)
    for name, powers in chosen.items():
        if name not in pairs:
            raise BundleError(f"{name} does not enter a depthwise Conv", "calibrate again")
        writer, reader = pairs[name]
        scale: Floats = np.exp2(np.array(powers, np.float32)).reshape(-1, 1, 1, 1)
        if len(scale) != len(held[reader.input[1]]):
            raise BundleError(f"{name} does not have {len(scale)} channels", "calibrate again")
        held[writer.input[1]] = np.asarray(held[writer.input[1]] * scale, np.float32)
        if len(writer.input) > 2:
            held[writer.input[2]] = held[writer.input[2]] * scale.reshape(-1)
        held[reader.input[1]] = np.asarray(held[reader.input[1]] / scale, np.float32)
    normal_form.put_weights(made, held)
    return made
