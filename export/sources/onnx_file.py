"""Reads an .onnx file, and checks that it is complete, float32, and made of standard operators."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, defs, external_data_helper, inliner

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import reading as graphs

STANDARD = ("", "ai.onnx")
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
OLDEST = 13


def read(path: Path) -> onnx.ModelProto:
    """Read a model with all its weights, external ones included. Raises BundleError."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise BundleError(
            f"{path} is not an ONNX model: {error}", "it may be truncated: copy it again"
        ) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    # An empty file passes as an empty protobuf message.
    if not model.ir_version or not model.opset_import or not model.graph.node:
        raise BundleError(f"{path} is not an ONNX model: it has no graph")
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise BundleError(
            f"the external weights of {path} cannot be read: {error}",
            "put the weights file of the export beside the .onnx file",
        ) from error
    return model


def sound(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Inline local functions. Raises BundleError unless all operators are standard, in float32."""
    try:
        model = inliner.inline_local_functions(model) if model.functions else model
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"the functions in {where} cannot be inlined: {error}") from error
    for inner in graphs.graphs(model.graph):
        for node in inner.node:
            node.domain = "" if node.domain in STANDARD else node.domain
    _check_operators(model, _opset(model, where), where)
    _check_types(model, where)
    return model


def _opset(model: onnx.ModelProto, where: str) -> int:
    version = max((o.version for o in model.opset_import if o.domain in STANDARD), default=0)
    newest = defs.onnx_opset_version()
    if not 1 <= version <= newest:
        raise BundleError(
            f"{where} has opset {version}; the installed onnx knows 1 to {newest}",
            "export it with opset_version=17, or install a newer onnx",
        )
    # Operators of other domains are refused below, so their versions are dropped.
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))
    return version


def _check_operators(model: onnx.ModelProto, opset: int, where: str) -> None:
    for node in graphs.nodes(model.graph):
        if node.domain or not defs.has(node.op_type, opset, ""):
            domain = f"domain {node.domain!r}" if node.domain else f"opset {opset}"
            raise BundleError(
                f"{where}: operator {node.op_type} of {domain} at node"
                f" {graphs.label(node)} is unknown",
                "export it with standard ONNX operators only",
            )


def _check_types(model: onnx.ModelProto, where: str) -> None:
    for inner in graphs.graphs(model.graph):
        half = next((w.name for w in inner.initializer if w.data_type in HALVES), None)
        if half is not None:
            raise BundleError(f"{where}: weights {half!r} are not float32", "export it in float32")
    for value in (*graphs.feeds(model.graph), *model.graph.output):
        kind = value.type.tensor_type.elem_type
        if kind != TensorProto.FLOAT:
            name = TensorProto.DataType.Name(kind).lower() if kind else "no tensor"
            raise BundleError(
                f"{where}: {value.name!r} is {name}, expected float32", "export it in float32"
            )
