"""Made-up people, how a night shows them, and a tiny encoder that knows them by day."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form
from ostiary.training.data.augment import Augmentation
from ostiary.training.encoders.onnx_encoder import OnnxEncoder
from ostiary.training.tasks.fit import Parts

SIDE_PX, DIM = 12, 24
SPEC = InputSpec((SIDE_PX, SIDE_PX), "rgb", 127.5, 128.0)
NIGHT = Augmentation(infrared=1.0, low_light=1.0, light=(0.05, 0.2), gain=8.0, electrons=4000.0)


@cache
def tiny() -> onnx.ModelProto:
    """A Conv and a full layer that keep most of a small image, so they tell people apart well."""
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 3, 3, 3), "b": (8,), "slope": (8, 1, 1), "all": (8 * 25, DIM)}
    weights = [
        numpy_helper.from_array((rng.normal(0, 0.2, shape)).astype("f4"), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["seen"], strides=[2, 2]),
        helper.make_node("PRelu", ["seen", "slope"], ["act"]),
        helper.make_node("Flatten", ["act"], ["flat"]),
        helper.make_node("MatMul", ["flat", "all"], ["embedding"]),
    ]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])
    end = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])
    made = helper.make_graph(nodes, "tiny", [entry], [end], weights)
    opset = [helper.make_opsetid("", normal_form.OPSET)]
    return normal_form.normalise(helper.make_model(made, opset_imports=opset, ir_version=8), SPEC)


def encoder() -> OnnxEncoder:
    """The tiny encoder, trainable."""
    return OnnxEncoder(tiny(), SPEC)


def people(count: int, each: int, seed: int) -> Crops:
    """Made-up faces: a smooth grey pattern per person, with noise on every photo."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), each)
    waves = rng.normal(0, 1, (count, 4, 4, 1))
    grid = np.cos(np.pi * np.outer(np.arange(SIDE_PX) + 0.5, np.arange(4)) / SIDE_PX)
    faces = np.einsum("ya,xb,pabc->pyxc", grid, grid, waves)[person]
    images = np.clip(128 + 22 * faces + rng.normal(0, 12, (*faces.shape[:3], 3)), 0, 255).astype(
        np.uint8
    )
    ids = [f"{seed}-{i}" for i in range(len(person))]
    return Crops(images, person, ids, [str(i) for i in range(count)], {}, {})


PHOTOS = Parts(people(240, 1, 1), people(75, 2, 2), people(80, 2, 3))
