"""The gate passes a good int8 encoder, and names the fault of a bad one."""

import dataclasses

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.det import COMPARISONS, DetFile
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import calibrate, quantize, sensitivity
from ostiary.export.judge import input_readings
from ostiary.export.judge.gate import Encoders, measure
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Gate, GateLimits, Reading
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731
LIMITS = GateLimits(fmrs=(1e-3,), most_fnir=1.0)


@pytest.fixture(scope="module")
def faces() -> Crops:
    """100 people with 4 photos each; the first 8 photos serve as the calibration's."""
    return crops(people=100, images=4)


@pytest.fixture(scope="module")
def table(faces: Crops) -> Table:
    return calibrate.calibrate(
        normalised(), SPEC, crops(people=80, images=1, seed=5), "made up", "mse", False, QUIET
    )


def judged(
    faces: Crops, table: Table, rounded: onnx.ModelProto | None = None, spec: InputSpec = SPEC
) -> tuple[Gate, DetFile]:
    model = normalised()
    made = rounded or quantize.quantize(model, table)
    known = msgspec.structs.replace(table, photos=faces.photos[:8])
    encoders = Encoders(normal_form.to_bytes(model), normal_form.to_bytes(made), spec, known)
    return measure(encoders, faces, "made up", LIMITS, QUIET)


def test_a_good_encoder_passes_with_a_full_report(faces: Crops, table: Table) -> None:
    gate, det = judged(faces, table)
    assert gate.failures == []
    assert gate.passed
    assert (gate.images, gate.calibration_left_out) == (392, 8)
    assert [item.comparison for item in gate.compared] == list(COMPARISONS)
    assert gate.cosine.median > 0.99
    assert gate.proven_on == ["onnxruntime", "openvino"]
    for loss in gate.losses:
        assert loss.loss.low <= loss.loss.high
    kept = faces.without(faces.photos[:8])
    base = run.embed(normal_form.to_bytes(normalised()), kept.images, SPEC)
    rows, columns = np.triu_indices(len(kept), 1)
    other = kept.person[rows] != kept.person[columns]
    scores = np.einsum("ij,ij->i", base[rows], base[columns])[other]
    assert det.curve().fmr(0.2) == pytest.approx(float((scores >= 0.2).mean()), abs=1e-5)
    assert det.curve("float_int8").impostors == det.curve().impostors


def swapped(rounded: onnx.ModelProto) -> onnx.ModelProto:
    """Swap red and blue in the first Conv's int8 weights."""
    made = normal_form.copy(rounded)
    name = "stem.w_quantized"
    held = normal_form.weights(made)[name]
    normal_form.put_weights(made, {name: np.ascontiguousarray(held[:, ::-1])})
    return made


def test_a_planted_channel_swap_fails_and_is_named(faces: Crops, table: Table) -> None:
    gate, _ = judged(faces, table, swapped(quantize.quantize(normalised(), table)))
    assert not gate.faithful
    assert any("red and blue are swapped" in line for line in gate.failures)


def test_a_clearly_better_reading_is_reported_and_a_tie_is_not() -> None:
    told = input_readings.better([Reading("rgb", 4.86), Reading("bgr", 5.21)])
    assert "tells people apart better reading bgr" in told
    assert not input_readings.better([Reading("rgb", 5.2), Reading("bgr", 5.3)])


def test_calibration_on_noise_fails_and_is_named(faces: Crops, table: Table) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    flat = (noise * 0.02 + 120).astype(np.uint8)
    wrong = calibrate.measure(normalised(), SPEC, flat, table, QUIET)
    gate, _ = judged(faces, wrong)
    assert not gate.faithful
    assert any("of the values on faces are clipped" in line for line in gate.failures)


@pytest.mark.parametrize("factor", [8.0, 0.1])
def test_a_broken_weight_scale_fails_and_names_the_layer(
    faces: Crops, table: Table, factor: float
) -> None:
    made = quantize.quantize(normalised(), table)
    scale = normal_form.weights(made)["project.w_scale"].copy()
    scale[:4] *= np.float32(factor)
    normal_form.put_weights(made, {"project.w_scale": scale})
    gate, _ = judged(faces, table, made)
    assert not gate.faithful
    assert any("the weights of Conv_6 are off" in line for line in gate.failures), gate.failures


def test_a_broken_range_fails_and_names_the_layer(faces: Crops, table: Table) -> None:
    ranges = dict(table.ranges)
    name = list(ranges)[-1]
    wide = msgspec.structs.replace(ranges[name], threshold=ranges[name].threshold * 60)
    gate, _ = judged(faces, msgspec.structs.replace(table, ranges=ranges | {name: wide}))
    assert not gate.faithful
    assert any("before Conv_8" in line and "faces reach only" in line for line in gate.failures)


def test_too_few_faces_are_refused(faces: Crops, table: Table) -> None:
    with pytest.raises(PhotoError, match="too few for a verdict"):
        judged(faces.only(np.arange(100)), table)
    with pytest.raises(PhotoError, match="0 genuine"):
        judged(crops(people=300, images=1), table)
    everything = msgspec.structs.replace(table, photos=faces.photos)
    model = normal_form.to_bytes(normalised())
    with pytest.raises(PhotoError, match="400 photos of the calibration left out"):
        measure(Encoders(model, model, SPEC, everything), faces, "x", LIMITS, QUIET)


def test_limits_that_too_few_pairs_can_show_fail(faces: Crops, table: Table) -> None:
    model = normal_form.to_bytes(normalised())
    gate, _ = measure(
        Encoders(model, model, SPEC, None), faces, "x", GateLimits(fmrs=(1e-7,)), QUIET
    )
    assert not gate.faithful
    assert "too few pairs" in gate.failures[0]


def test_the_search_finds_the_one_layer_that_must_stay_in_float(faces: Crops, table: Table) -> None:
    """The range before the depthwise Conv is spoilt, so this layer alone must stay in float."""
    model = normalised()
    (name,) = table.exponents
    spoilt = dict(table.ranges)
    spoilt[name] = msgspec.structs.replace(spoilt[name], threshold=spoilt[name].threshold / 40)
    wrong = msgspec.structs.replace(table, ranges=spoilt)
    layers = sensitivity.measure(model, wrong, faces, SPEC, QUIET)
    worst = max(layers.costs, key=lambda cost: cost.cosine)
    assert worst.depthwise
    assert len(layers.costs) == 5
    tried = []

    def passes(candidate: Table) -> bool:
        tried.append(len(candidate.floats))
        return judged(faces, candidate)[0].faithful

    known = msgspec.structs.replace(wrong, photos=faces.photos[:64])
    assert not judged(faces, wrong)[0].faithful
    chosen = sensitivity.search(model, known, faces, SPEC, layers, passes, QUIET)
    assert list(chosen.floats) == [worst.node]
    assert "rank 1 of 5" in chosen.floats[worst.node]
    assert tried == [1]


def test_plausible_readings_are_six_and_differ() -> None:
    names = [input_readings.told(spec) for spec in input_readings.plausible(SPEC)]
    assert names[0] == "rgb, (value - 127.5) / 128"
    assert len(names) == len(set(names)) == 6
    grey = dataclasses.replace(SPEC, channels="gray", mean=0.0, scale=255.0)
    assert [input_readings.told(s)[:4] for s in input_readings.plausible(grey)] == ["gray"] * 3
