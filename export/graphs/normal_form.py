"""One form for every float encoder: dynamic batch, one opset, outputs of unit length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError
from ostiary.export.graphs import run

OPSET, IR_VERSION = 17, 8
"""The highest versions that TensorRT 8.6 (JetPack 6.0) reads."""
INPUT, OUTPUT = "input", "embedding"
LEAST_NORM = 1e-6
MAX_DIFFERENCE = 1e-5
"""The largest allowed difference of unit-length outputs before and after: float32 rounding."""


def normalise(model: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Bring a float encoder to the form of every bundle, computing what `model` computes.

    The result maps `input` (n, channels, height, width) to `embedding` (n, dim) of unit length.
    Raises BundleError if an operator does not exist in the opset, or if the outputs differ.
    """
    raw = _outputs(model, spec, 1)
    made = onnx.ModelProto.FromString(model.SerializeToString())
    _free_the_batch(made)
    made = _in_opset(_slim(made))
    _rename(made)
    if not np.allclose(np.linalg.norm(raw, axis=1), 1, atol=1e-4):
        append_unit_length(made)
    finish(made)
    difference = float(np.abs(_unit(_outputs(made, spec, 3)) - _unit(raw)).max())
    if not difference <= MAX_DIFFERENCE:
        raise BundleError(f"the simplified encoder differs from its source by {difference:.2g}")
    return made


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Serialise a model; the same model always gives the same bytes."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def strip(model: onnx.ModelProto) -> None:
    """Remove what no node uses, and the metadata about who made the model and when."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(sorted(kept, key=lambda item: item.name))
    domains = {node.domain for node in model.graph.node}
    opsets = [item for item in model.opset_import if item.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = model.producer_version = model.domain = ""
    model.producer_name, model.model_version, model.graph.name = "ostiary", 0, "encoder"
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


def sort(model: onnx.ModelProto) -> None:
    """Put each node after the nodes it reads from; otherwise keep the order."""
    made = {name: node for node in model.graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    placed: set[str] = set()
    # Recursion is avoided: a deep encoder would exceed Python's limit.
    stack = list(reversed(model.graph.node))
    while stack:
        node = stack.pop()
        if node.output[0] in placed:
            continue
        before = [made[name] for name in node.input if name in made and name not in placed]
        if before:
            stack += [node, *before]
        else:
            placed.update(node.output)
            ordered.append(node)
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def weights(model: onnx.ModelProto) -> dict[str, Floats]:
    """Copies of all initialisers of a model, by name."""
    return {i.name: np.array(numpy_helper.to_array(i)) for i in model.graph.initializer}


def put_weights(model: onnx.ModelProto, changed: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays back into the initialisers of the same names."""
    for item in model.graph.initializer:
        if item.name in changed:
            item.CopyFrom(numpy_helper.from_array(changed[item.name], item.name))


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model."""
    made: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    return made


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """A node's integer attribute, or `default` if it is not set."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def is_depthwise(node: onnx.NodeProto, held: dict[str, Floats]) -> bool:
    """Whether a node is a Conv with one filter per channel; `held` are the model's weights."""
    if node.op_type != "Conv" or node.input[1] not in held:
        return False
    shape = held[node.input[1]].shape
    return bool(shape[1] == 1 and attribute(node, "group", 1) == shape[0] > 1)


def _free_the_batch(model: onnx.ModelProto) -> None:
    held = {i.name for i in model.graph.initializer}
    # Before IR version 4 every weight is listed as an input too.
    inputs = [i for i in model.graph.input if i.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] == model.graph.output[0].name:
            # Reshape to (1, -1) fixes the batch; Flatten does the same for any batch.
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
    del model.graph.value_info[:]


def _slim(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    try:
        made: onnx.ModelProto = onnxslim.slim(model)
    except (ValueError, RuntimeError, KeyError) as error:
        raise BundleError(f"onnxslim cannot simplify the encoder: {error}") from error
    return made


def _in_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    try:
        made: onnx.ModelProto = (
            version_converter.convert_version(model, OPSET) if version != OPSET else model
        )
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise BundleError(
            f"the encoder cannot be converted from opset {version} to {OPSET}: {error}",
            f"export it with opset_version={OPSET}",
        ) from error
    made.ir_version = IR_VERSION
    return made


def _rename(model: onnx.ModelProto) -> None:
    names = {model.graph.input[0].name: INPUT, model.graph.output[0].name: OUTPUT}
    model.graph.input[0].name, model.graph.output[0].name = INPUT, OUTPUT
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _name_nodes(model: onnx.ModelProto) -> None:
    """Name each node by operator and position, so that reports can point at it."""
    for at, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{at}"


def append_unit_length(model: onnx.ModelProto) -> None:
    """Append x / max(|x|, LEAST_NORM), with operators that all opsets and TensorRT have."""
    # After a projection these nodes are appended a second time, and need other names.
    at = sum(node.op_type == "Div" for node in model.graph.node)
    raw, squares, total, norm, bounded, axis, least = (
        f"{name}_{at}" for name in ("raw", "squares", "sum", "norm", "bounded", "axis", "least")
    )
    for node in model.graph.node:
        node.output[:] = [raw if name == OUTPUT else name for name in node.output]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([1], np.int64), axis),
            numpy_helper.from_array(np.array(LEAST_NORM, np.float32), least),
        ]
    )
    for operator, inputs, output in (
        ("Mul", [raw, raw], squares),
        ("ReduceSum", [squares, axis], total),
        ("Sqrt", [total], norm),
        ("Max", [norm, least], bounded),
        ("Div", [raw, bounded], OUTPUT),
    ):
        model.graph.node.append(helper.make_node(operator, inputs, [output]))


def finish(model: onnx.ModelProto) -> None:
    """Strip an assembled model and name its nodes. Raises BundleError if the model is not valid."""
    strip(model)
    _name_nodes(model)
    _check(model)


def _outputs(model: onnx.ModelProto, spec: InputSpec, batch: int) -> Floats:
    """The encoder's outputs for 3 images of noise, run `batch` at a time."""
    given = _random_input(spec)
    rows = [run.run(model, given[i : i + batch]) for i in range(0, len(given), batch)]
    return np.concatenate(rows)


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise BundleError("the encoder's embedding of random pixels is zero or not finite")
    return np.asarray(rows / norms, np.float32)


def _random_input(spec: InputSpec) -> NDArray[np.float32]:
    pixels = np.random.default_rng(0).uniform(0, 255, (3, *spec.shape[1:]))
    return ((pixels - spec.mean) / spec.scale).astype(np.float32)


def _check(model: onnx.ModelProto) -> None:
    shape = model.graph.output[0].type.tensor_type.shape
    if len(shape.dim) != 2:
        raise BundleError(f"the encoder's output has {len(shape.dim)} axes, expected 2")
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"the simplified encoder is not valid ONNX: {error}") from error
