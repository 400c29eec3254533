"""Made-up people of noise, and a small encoder that tells them apart: needs no data."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run

SIDE = 16
SPEC = InputSpec((SIDE, SIDE), "rgb", 127.5, 128.0)


def crops(people: int = 90, images: int = 4, seed: int = 0) -> Crops:
    """Crops of people: each person is a coarse pattern of colours, plus noise in each image."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 235, (people, SIDE // 4, SIDE // 4, 3))
    whole = coarse.repeat(4, axis=1).repeat(4, axis=2).repeat(images, axis=0)
    noisy = np.clip(whole + rng.normal(0, 14, whole.shape), 0, 255).astype(np.uint8)
    person = np.arange(people).repeat(images)
    photos = [f"{i:016x}" for i in range(len(noisy))]
    return Crops(noisy, person, photos, [f"p{i}" for i in range(people)], {}, {})


def encoder(uneven: bool = True) -> onnx.ModelProto:
    """A stem, one inverted bottleneck with a residual, and a Conv over the whole remaining map.

    If `uneven`, the channels before the depthwise Conv span three decades, as MobileFaceNet's do:
    more than int8 with one scale per tensor can hold.
    """
    rng = np.random.default_rng(4)
    weights: list[onnx.TensorProto] = []

    def constant(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(name: str, source: str, shape: tuple[int, ...], spread: Any = 1.0, **how: Any) -> Any:
        fan = np.sqrt(shape[1] * shape[2] * shape[3])
        per_filter = np.reshape(spread, (-1, 1, 1, 1))
        inputs = [
            source,
            constant(f"{name}.w", rng.normal(0, 1 / fan, shape) * per_filter),
            constant(f"{name}.b", rng.normal(0, 0.1, shape[0]) * spread),
        ]
        return helper.make_node("Conv", inputs, [f"{name}.y"], name, **how)

    def prelu(source: str, channels: int) -> Any:
        slope = constant(f"{source}.slope", rng.uniform(0.1, 0.4, (channels, 1, 1)))
        return helper.make_node("PRelu", [source, slope], [f"{source}.act"])

    scale = np.geomspace(0.03, 30, 16) if uneven else np.ones(16)
    same = [1, 1, 1, 1]
    nodes = [
        conv("stem", "image", (8, 3, 3, 3), strides=[2, 2], pads=same),
        prelu("stem.y", 8),
        conv("expand", "stem.y.act", (16, 8, 1, 1), scale),
        prelu("expand.y", 16),
        conv("depth", "expand.y.act", (16, 1, 3, 3), 1 / scale, group=16, pads=same),
        prelu("depth.y", 16),
        conv("project", "depth.y.act", (8, 16, 1, 1)),
        helper.make_node("Add", ["stem.y.act", "project.y"], ["sum"]),
        conv("whole", "sum", (32, 8, SIDE // 2, SIDE // 2)),
        helper.make_node("Flatten", ["whole.y"], ["vector"]),
    ]
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    end = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 32])
    made = helper.make_graph(nodes, "made-up", [entry], [end], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    # Centred on what people look like: strangers then score about 0, as a trained encoder has it.
    mean = np.mean([run.run(model, row[None]) for row in _people()], axis=0)
    normal_form.put_weights(model, {"whole.b": normal_form.weights(model)["whole.b"] - mean[0]})
    return model


def _people() -> np.ndarray:
    return run.tensors(crops(people=60, images=1, seed=9).images, SPEC)


def normalised(uneven: bool = True) -> onnx.ModelProto:
    """The same in the one form of every encoder."""
    return normal_form.normalise(encoder(uneven), SPEC)
