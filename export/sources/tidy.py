"""Converts an ONNX model to opset 17 and strips everything that is not computation."""

from __future__ import annotations

import onnx
from onnx import version_converter

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import reading as graphs
from ostiary.export.sources.onnx_file import OLDEST

OPSET = 17


def to_opset(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Convert to opset 17, else to the lowest possible from 13 on. Raises BundleError."""
    opset = model.opset_import[0].version
    if opset == OPSET:
        return model
    others = [n for n in range(OLDEST, onnx.defs.onnx_opset_version() + 1) if n != OPSET]
    for target in (OPSET, *others):
        if target == opset:
            return model
        try:
            converted = version_converter.convert_version(model, target)
            onnx.checker.check_model(converted, full_check=True)
        except (
            RuntimeError,
            ValueError,
            onnx.checker.ValidationError,
            onnx.shape_inference.InferenceError,
        ):
            continue
        return converted
    raise BundleError(
        f"{where} has opset {opset} and cannot be converted to {OLDEST} or later",
        "export it with opset_version=17",
    )


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep only the computation: equal exports give equal bytes, whoever made them."""
    graphs.prune(model.graph)
    for inner in graphs.graphs(model.graph):
        for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
            inner.ClearField(field)
        for item in (*inner.node, *inner.input, *inner.output, *inner.initializer):
            item.ClearField("doc_string")
            item.ClearField("metadata_props")
    model.graph.name = "encoder"
    return onnx.helper.make_model(
        model.graph,
        opset_imports=model.opset_import,
        ir_version=onnx.helper.find_min_ir_version_for(model.opset_import),
    )


def check(model: onnx.ModelProto, where: str) -> None:
    """Raise BundleError if onnx's own checker finds a fault."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (
        ValueError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise BundleError(f"{where} is not a valid ONNX model: {error}") from error
