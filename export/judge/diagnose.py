"""Finds why an int8 encoder fails its gate: swapped channels, wrong ranges, broken weights."""

from __future__ import annotations

import numpy as np
import onnx

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.export.graphs import normal_form, run
from ostiary.export.graphs.run import Images
from ostiary.export.int8 import equalise
from ostiary.export.records.calibration_table import Table

FACES = 16
CLIPPED, UNUSED = 0.02, 0.05
"""A range is wrong if more than the share CLIPPED of the values exceeds it, or if the values reach
less than the share UNUSED of it."""
WEIGHT_ERROR = 0.05
"""The largest allowed relative error of a filter in int8; rounding alone stays below 0.02."""
NAMED = 3
SWAPPED = 0.9


def find(
    base: onnx.ModelProto,
    rounded: onnx.ModelProto,
    table: Table | None,
    images: Images,
    spec: InputSpec,
) -> list[str]:
    """The faults of an int8 encoder as sentences that name the node; empty if none is found."""
    faces = run.tensors(images[:: max(len(images) // FACES, 1)][:FACES], spec)
    return [
        *_swapped(base, rounded, faces),
        *_ranges(rounded, faces),
        *_weights(base, rounded, table),
    ]


def _swapped(base: onnx.ModelProto, rounded: onnx.ModelProto, faces: Floats) -> list[str]:
    if faces.shape[1] != 3:
        return []
    wanted = _unit(run.run(base, faces))
    straight = (wanted * _unit(run.run(rounded, faces))).sum(1)
    mirrored = np.ascontiguousarray(faces[:, ::-1])
    crossed = (wanted * _unit(run.run(rounded, mirrored))).sum(1)
    if np.median(crossed) > max(float(np.median(straight)), SWAPPED):
        return [
            "red and blue are swapped between the two encoders: with its channels swapped, int8"
            f" agrees with float to {np.median(crossed):.3f} instead of {np.median(straight):.3f}"
        ]
    return []


def _ranges(rounded: onnx.ModelProto, faces: Floats) -> list[str]:
    """The ranges that do not fit these faces, in the order of the graph."""
    held = normal_form.weights(rounded)
    rounds = [
        node
        for node in rounded.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in held
    ]
    if not rounds:
        return ["nothing in the int8 encoder is quantized"]
    values = run.Peek(rounded, list({n.input[0]: None for n in rounds}))(faces)
    readers = {name: node.name for node in rounded.graph.node for name in node.input}
    after = {
        node.input[0]: readers.get(node.output[0], node.name)
        for node in rounded.graph.node
        if node.op_type == "DequantizeLinear"
    }
    found = []
    for node in rounds:
        sizes = np.abs(values[node.input[0]])
        reach = float(held[node.input[1]].max()) * 127
        clipped, used = float((sizes > reach * 1.01).mean()), float(sizes.max()) / reach
        where = f"before {after.get(node.output[0], node.name)} the range is +-{reach:.3g}"
        if clipped > CLIPPED:
            found.append(f"{where}, and {clipped:.0%} of the values on faces are clipped by it")
        elif used < UNUSED:
            found.append(f"{where}, and faces reach only {used:.1%} of it")
    return _first(found, "ranges do not fit these faces; was the encoder calibrated on faces?")


def _weights(base: onnx.ModelProto, rounded: onnx.ModelProto, table: Table | None) -> list[str]:
    """The layers whose int8 weights are not the rounded float weights."""
    if table is None:
        return []
    wanted = normal_form.weights(equalise.apply(base, table.exponents))
    held = normal_form.weights(rounded)
    made = {node.output[0]: node for node in rounded.graph.node}
    floats = {node.name: node for node in base.graph.node}
    found = []
    for node in rounded.graph.node:
        source = made.get(node.input[1]) if node.op_type in ("Conv", "Gemm") else None
        if source is None or node.name not in floats:
            continue
        axis = normal_form.attribute(source, "axis", 1)
        got = _dequantized(held[source.input[0]], held[source.input[1]], axis)
        expected = wanted[floats[node.name].input[1]]
        rest = tuple(i for i in range(got.ndim) if i != axis)
        size = np.sqrt((expected**2).sum(rest))
        error = np.sqrt(((got - expected) ** 2).sum(rest)) / np.maximum(size, 1e-12)
        wrong = np.flatnonzero((error > WEIGHT_ERROR) & (size > size.max() * 1e-3))
        if len(wrong):
            found.append(
                f"the weights of {node.name} are off by {error[wrong].max():.0%} in"
                f" {len(wrong)} of {len(error)} filters, the first is {wrong[0]}"
            )
    return _first(found, "layers have wrong weights or scales")


def _dequantized(values: Floats, scale: Floats, axis: int) -> Floats:
    shape = [1] * values.ndim
    if scale.ndim:
        shape[axis] = -1
    return np.asarray(values.astype(np.float32) * scale.reshape(shape), np.float32)


def _first(found: list[str], summary: str) -> list[str]:
    if len(found) > NAMED:
        return [*found[:NAMED], f"and {len(found) - NAMED} more {summary}"]
    return found


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
