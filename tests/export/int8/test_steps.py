"""Trained steps of int8 weights: kept in the table as text, applied on the same scales."""

import base64
import zlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.export.audit.check import audit
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import calibrate, quantize
from ostiary.export.plan import recipe
from ostiary.export.records.calibration_table import (
    Int8Lesson,
    Table,
    packed,
    parse,
    to_text,
    unpacked,
)
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731


@pytest.fixture(scope="module")
def table() -> Table:
    faces = crops(people=40, images=1, seed=7)
    return calibrate.calibrate(normalised(), SPEC, faces, "made up", "minmax", True, QUIET)


def codes(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The codes of each weight, by node."""
    held = normal_form.weights(model)
    return {node: held[name].astype(int) for node, name in quantize.codes_of(model).items()}


def some_steps(table: Table, largest: int = 3) -> dict[str, np.ndarray]:
    rng, plain = np.random.default_rng(0), codes(quantize.quantize(normalised(), table))
    return {name: rng.integers(-largest, largest, held.shape) for name, held in plain.items()}


def moved(table: Table, steps: dict[str, np.ndarray]) -> Table:
    text = {name: packed(held.astype(np.int8)) for name, held in steps.items()}
    return msgspec.structs.replace(table, steps=text)


@pytest.mark.parametrize("shape", [(4,), (3, 2, 1, 1), (8, 1, 3, 3)])
def test_steps_survive_their_text(shape: tuple[int, ...]) -> None:
    steps = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    assert (unpacked(packed(steps), shape, "it") == steps).all()


def test_steps_beyond_a_byte_are_clipped_to_it() -> None:
    assert unpacked(packed(np.array([-300.0, 200.0])), (2,), "it").tolist() == [-128, 127]


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"not deflate").decode(),
        packed(np.zeros(3, np.int8)),
        packed(np.zeros(5, np.int8)),
        base64.b64encode(zlib.compress(bytes(1 << 24))).decode(),
        packed(np.arange(4, dtype=np.int8))[:-8],
    ],
)
def test_steps_of_another_weight_or_damaged_are_refused(text: str) -> None:
    with pytest.raises(BundleError, match="steps of Conv_1"):
        unpacked(text, (2, 2), "Conv_1")


def test_each_weight_moves_by_its_steps_and_nothing_else_does(table: Table) -> None:
    before, steps = quantize.quantize(normalised(), table), some_steps(table)
    after = quantize.quantize(normalised(), moved(table, steps))
    plain = codes(before)
    for name, held in codes(after).items():
        most = quantize.most(table, name)
        for was, step, now in zip(plain[name].flat, steps[name].flat, held.flat, strict=True):
            assert now == min(max(was + step, -most), most)
    changed = set(quantize.codes_of(after).values())
    a, b = normal_form.weights(before), normal_form.weights(after)
    assert a.keys() == b.keys()
    assert all((a[name] == b[name]).all() for name in a.keys() - changed)
    assert audit(after, "it").passed


def test_steps_of_zero_change_nothing(table: Table) -> None:
    still = moved(table, {name: held * 0 for name, held in some_steps(table).items()})
    plain = normal_form.to_bytes(quantize.quantize(normalised(), table))
    assert normal_form.to_bytes(quantize.quantize(normalised(), still)) == plain


def test_a_layer_in_float_has_no_steps(table: Table) -> None:
    chosen = msgspec.structs.replace(moved(table, some_steps(table)), floats={"Conv_2": "a test"})
    made = quantize.quantize(normalised(), chosen)
    assert "Conv_2" not in codes(made)
    without = msgspec.structs.replace(chosen, steps={"Conv_2": chosen.steps["Conv_2"]})
    plain = msgspec.structs.replace(chosen, steps={})
    assert normal_form.to_bytes(quantize.quantize(normalised(), without)) == normal_form.to_bytes(
        quantize.quantize(normalised(), plain)
    )


def test_a_table_keeps_the_record_of_its_training(table: Table) -> None:
    lesson = Int8Lesson(
        data_set="my faces", people=300, images=310, epochs=2, rate=0.01, seed=0,
        cosine=(0.998, 0.9985), command="ostiary-train int8 --epochs 2",
    )  # fmt: skip
    taught = msgspec.structs.replace(moved(table, some_steps(table)), lesson=lesson)
    assert parse(to_text(taught), "it") == taught
    assert "310 photos of 300 people from my faces" in str(lesson)
    assert "0.99800 before, 0.99850 after" in str(lesson)


def test_a_folder_without_a_recorded_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no mobilefacenet-192\.table\.json"):
        recipe.load("mobilefacenet-192", recorded=tmp_path)
