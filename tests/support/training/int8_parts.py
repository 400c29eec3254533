"""A tiny encoder with what int8 finds hard, made-up people, and a table from them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import calibrate
from ostiary.export.records.calibration_table import Table

SIDE_PX, DIM = 12, 24
SPEC = InputSpec((SIDE_PX, SIDE_PX), "rgb", 127.5, 128.0)


def people(count: int, seed: int, each: int = 1) -> Crops:
    """Made-up faces: a coarse pattern of colours per person, with noise on every photo."""
    rng = np.random.default_rng(seed)
    whole = rng.uniform(20, 235, (count, 3, 3, 3)).repeat(4, axis=1).repeat(4, axis=2)
    noisy = whole.repeat(each, axis=0) + rng.normal(0, 14, (count * each, SIDE_PX, SIDE_PX, 3))
    images = np.clip(noisy, 0, 255).astype(np.uint8)
    person = np.arange(count).repeat(each)
    photos = [sha256(image.tobytes())[:16] for image in images]
    return Crops(images, person, photos, [f"p{i}" for i in range(count)], {}, {})


def folder(*parts: Crops) -> Crops:
    """The people of all parts, as if read from one folder."""
    first = np.cumsum([0, *(len(part.names) for part in parts)])
    return Crops(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.person + at for part, at in zip(parts, first, strict=False)]),
        [photo for part in parts for photo in part.photos],
        [f"p{i}" for i in range(first[-1])],
        {},
        {},
    )


@cache
def tiny() -> onnx.ModelProto:
    """A stem, a depthwise layer of uneven channels, a residual Add, and a full layer."""
    rng = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []

    def constant(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(name: str, source: str, shape: tuple[int, ...], spread: Any, **how: Any) -> Any:
        fan = np.sqrt(np.prod(shape[1:]))
        values = rng.normal(0, 1 / fan, shape) * np.reshape(spread, (-1, 1, 1, 1))
        bias = rng.normal(0, 0.1, shape[0]) * spread
        inputs = [source, constant(f"{name}.w", values), constant(f"{name}.b", bias)]
        return helper.make_node("Conv", inputs, [name], **how)

    uneven = np.geomspace(0.1, 10, 12)
    slope = constant("slope", rng.uniform(0.1, 0.4, (12, 1, 1)))
    nodes = [
        conv("stem", "input", (8, 3, 3, 3), np.ones(8), strides=[2, 2], pads=[1, 1, 1, 1]),
        conv("wide", "stem", (12, 8, 1, 1), uneven),
        helper.make_node("PRelu", ["wide", slope], ["act"]),
        conv("deep", "act", (12, 1, 3, 3), 1 / uneven, group=12, pads=[1, 1, 1, 1]),
        conv("narrow", "deep", (8, 12, 1, 1), np.ones(8)),
        helper.make_node("Add", ["stem", "narrow"], ["sum"]),
        conv("last", "sum", (4, 8, 1, 1), np.ones(4)),
        helper.make_node("Add", ["sum", "narrow"], ["again"]),
        helper.make_node("Flatten", ["again"], ["flat"]),
        helper.make_node(
            "Gemm",
            [
                "flat",
                constant("all", rng.normal(0, 0.1, (8 * 36, DIM))),
                constant("b", np.zeros(DIM)),
            ],
            ["full"],
        ),
        helper.make_node("Flatten", ["last"], ["side"]),
        helper.make_node(
            "MatMul", ["side", constant("more", rng.normal(0, 0.1, (144, DIM)))], ["m"]
        ),
        helper.make_node("Add", ["full", "m"], ["embedding"]),
    ]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])
    end = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])
    made = helper.make_graph(nodes, "tiny", [entry], [end], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return normal_form.normalise(model, SPEC)


@cache
def table() -> Table:
    """Calibrated on a few made-up people."""
    start = Table(
        encoder_id=sha256(normal_form.to_bytes(tiny())),
        method="mse", data_set="made up", images=32, photos=[], ranges={},
    )  # fmt: skip
    return calibrate.measure(tiny(), SPEC, people(32, seed=7).images, start, lambda line: None)


def by_file(model: onnx.ModelProto, crops: Crops, backend: str = "onnxruntime") -> np.ndarray:
    return run.embed(normal_form.to_bytes(model), crops.images, SPEC, backend)
