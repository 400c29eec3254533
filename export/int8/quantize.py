"""Turns a float encoder and its calibration table into int8; equal inputs give equal bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import equalise, ranges
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Table

OPERATORS = ["Conv", "Gemm"]
MOST = 127
"""The largest magnitude of a weight's int8 code."""
NARROW = 63
"""The same for a weight of 7 bits: see `summing`."""


def quantize(model: onnx.ModelProto, table: Table) -> onnx.ModelProto:
    """The int8 encoder, with Q/DQ pairs as TensorRT reads them.

    The input of each Conv and Gemm becomes int8 with zero point 0, its weight int8 with a scale
    per output channel; biases and all else stay in float. Raises BundleError if the table does not
    fit the model.
    """
    prepared = correct(equalise.apply(model, table.exponents), table.biases)
    return insert(prepared, table)


def correct(model: onnx.ModelProto, biases: dict[str, list[float]]) -> onnx.ModelProto:
    """A copy with `biases` added, one value per output channel. Raises BundleError."""
    made = normal_form.copy(model)
    held = normal_form.weights(made)
    nodes = {node.name: node for node in made.graph.node}
    for name, added in biases.items():
        node = nodes.get(name)
        if node is None or len(node.input) < 3 or len(held[node.input[2]]) != len(added):
            raise BundleError(f"the table's bias of {name} does not fit", "calibrate again")
        held[node.input[2]] = (held[node.input[2]] + np.array(added)).astype(np.float32)
    normal_form.put_weights(made, held)
    return made


def insert(model: onnx.ModelProto, table: Table) -> onnx.ModelProto:
    """Insert Q/DQ pairs by the table's ranges.

    Nodes in the table's `floats` get none; its `steps` move the int8 weights.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    missing = [name for name in ranges.inputs_of(model) if name not in table.ranges]
    if missing:
        raise BundleError(f"the table has no range of {', '.join(missing)}", "calibrate again")
    reach = {name: np.float32(item.threshold) for name, item in table.ranges.items()}
    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type in OPERATORS and node.name not in table.floats
    ]
    quantizer = QDQQuantizer(
        normal_form.copy(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(
            CalibrationMethod.MinMax, {name: (-top, top) for name, top in reach.items()}
        ),
        nodes_to_quantize=chosen,
        nodes_to_exclude=list(table.floats),
        op_types_to_quantize=OPERATORS if chosen else [],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": OPERATORS,
        },
    )
    quantizer.quantize_model()
    made: onnx.ModelProto = quantizer.model.model
    _mend_dead_channels(made)
    _narrow(made, model, table.narrow)
    _move(made, table)
    normal_form.sort(made)
    normal_form.strip(made)
    return made


def _mend_dead_channels(model: onnx.ModelProto) -> None:
    """Give filters that are all zero the scale 1: TensorRT refuses 0, and any scale computes the
    same."""
    scales = {node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for item in model.graph.initializer:
        if item.name in scales:
            values = numpy_helper.to_array(item)
            mended = np.where(values > 0, values, np.float32(1)).astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(mended, item.name))


def summing(model: onnx.ModelProto) -> list[str]:
    """The Convs and Gemms that sum over channels: all but the depthwise ones.

    Processors without VNNI add two products of neighbouring channels in 16 bits (vpmaddubsw), which
    two codes of 127 by 255 overflow. With weights of 7 bits nothing does.
    """
    held = normal_form.weights(model)
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Gemm" or (node.op_type == "Conv" and held[node.input[1]].shape[1] > 1)
    ]


def most(table: Table, node: str) -> int:
    """The largest magnitude of the int8 codes of a node's weight."""
    return NARROW if node in table.narrow else MOST


def _narrow(made: onnx.ModelProto, model: onnx.ModelProto, nodes: list[str]) -> None:
    """Round the weights of some nodes of `model` to 7 bits: the same scales for half the codes."""
    plain, codes = normal_form.weights(model), codes_of(made)
    weights = {node.name: node.input[1] for node in model.graph.node if node.name in nodes}
    linear = {n.input[0]: n for n in made.graph.node if n.op_type == "DequantizeLinear"}
    changed: dict[str, NDArray[Any]] = {}
    for name in codes.keys() & set(nodes):
        weight, scaled = plain[weights[name]], linear[codes[name]]
        axis = normal_form.attribute(scaled, "axis", 1)
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest = np.abs(weight).max(others, keepdims=True) / NARROW
        scale = np.where(largest > 0, largest, 1).astype(np.float32)
        changed[codes[name]] = np.rint(weight / scale).astype(np.int8)
        changed[scaled.input[1]] = scale.reshape(-1)
    normal_form.put_weights(made, changed)


def codes_of(model: onnx.ModelProto) -> dict[str, str]:
    """Name of the initialiser with the weight's int8 codes, by name of the Conv or Gemm."""
    made = {name: node for node in model.graph.node for name in node.output}
    sources = {
        node.name: made.get(node.input[1]) for node in model.graph.node if node.op_type in OPERATORS
    }
    return {name: source.input[0] for name, source in sources.items() if source is not None}


def _move(model: onnx.ModelProto, table: Table) -> None:
    """Move int8 weights by the steps that training found; their scales stay."""
    held, codes = normal_form.weights(model), codes_of(model)
    moved: dict[str, NDArray[Any]] = {}
    for node in table.steps.keys() & codes.keys():
        plain, limit = held[codes[node]].astype(np.int32), most(table, node)
        there = plain + tables.unpacked(table.steps[node], plain.shape, node)
        moved[codes[node]] = there.clip(-limit, limit).astype(np.int8)
    normal_form.put_weights(model, moved)
