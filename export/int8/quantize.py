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
    _move(made, table.steps)
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


def codes_of(model: onnx.ModelProto) -> dict[str, str]:
    """Name of the initialiser with the weight's int8 codes, by name of the Conv or Gemm."""
    made = {name: node for node in model.graph.node for name in node.output}
    sources = {
        node.name: made.get(node.input[1]) for node in model.graph.node if node.op_type in OPERATORS
    }
    return {name: source.input[0] for name, source in sources.items() if source is not None}


def _move(model: onnx.ModelProto, steps: dict[str, str]) -> None:
    """Move int8 weights by the steps that training found; their scales stay."""
    held, codes = normal_form.weights(model), codes_of(model)
    moved: dict[str, NDArray[Any]] = {}
    for node in steps.keys() & codes.keys():
        plain = held[codes[node]].astype(np.int32)
        there = plain + tables.unpacked(steps[node], plain.shape, node)
        moved[codes[node]] = there.clip(-MOST, MOST).astype(np.int8)
    normal_form.put_weights(model, moved)
