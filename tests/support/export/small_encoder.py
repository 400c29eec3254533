"""A small MobileFaceNet made of noise, and ONNX Runtime's quantization of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16

LEGAL = {
    "per_channel": True,
    "op_types_to_quantize": ["Conv", "Gemm"],
    "extra_options": {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": ["Conv", "Gemm"],
    },
}


def encoder() -> onnx.ModelProto:
    """Conv, PRelu, depthwise, residual Add, a Conv over the whole remaining map, Flatten."""
    rng = np.random.default_rng(4)
    weights: list[onnx.TensorProto] = []

    def constant(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array(rng.normal(0, 0.2, shape).astype("f4"), name))
        return name

    def conv(name: str, source: str, shape: tuple[int, ...], **how: Any) -> onnx.NodeProto:
        inputs = [source, constant(f"{name}.w", *shape), constant(f"{name}.b", shape[0])]
        return helper.make_node("Conv", inputs, [f"{name}.y"], name, **how)

    nodes = [
        conv("stem", "input", (8, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["stem.y", constant("slope", 8, 1, 1)], ["act.y"], "act"),
        conv("depth", "act.y", (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["depth.y", constant("slope2", 8, 1, 1)], ["act2.y"], "act2"),
        conv("point", "act2.y", (8, 8, 1, 1)),
        helper.make_node("Add", ["act.y", "point.y"], ["add.y"], "add"),
        conv("whole", "add.y", (16, 8, SIDE // 2, SIDE // 2)),
        helper.make_node("Flatten", ["whole.y"], ["embedding"], "flatten"),
    ]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    end = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 16])
    graph = helper.make_graph(nodes, "small", [entry], [end], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class _Images:
    """The images that ONNX Runtime calibrates on: seeded noise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(6)
        images = rng.uniform(-1, 1, (4, 1, 3, SIDE, SIDE)).astype(np.float32)
        self.rest: Iterator[dict[str, Any]] = iter([{"input": image} for image in images])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rest, None)


def quantize(folder: Path, **how: Any) -> onnx.ModelProto:
    from onnxruntime import quantization

    source, made = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(encoder(), source)
    quantization.quantize_static(source, made, _Images(), **how)
    return stripped(onnx.load(made))


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the unused operator sets and initialisers that ONNX Runtime leaves behind."""
    domains = {node.domain for node in model.graph.node}
    used = {name for node in model.graph.node for name in node.input}
    imports = [o for o in model.opset_import if o.domain in domains]
    kept = [i for i in model.graph.initializer if i.name in used]
    del model.opset_import[:], model.graph.initializer[:]
    model.opset_import.extend(imports)
    model.graph.initializer.extend(kept)
    return model
