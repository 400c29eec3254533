"""Equalised channels, ranges and bias correction: exact where they say so, and better."""

from typing import Any, get_args

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.errors import BundleError
from ostiary.export.audit.check import audit
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import bias_correction, calibrate, equalise, quantize, ranges
from ostiary.export.int8.ranges import ActivationHistogram
from ostiary.export.records.calibration_table import Method, Table, parse, to_text
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731
FACES = crops(people=80, images=1, seed=7)


@pytest.fixture(scope="module")
def table() -> Table:
    return calibrate.calibrate(normalised(), SPEC, FACES, "made up", "mse", False, QUIET)


def cosine(model: onnx.ModelProto, table: Table) -> float:
    """Median cosine of float and int8 on people who were not calibrated on."""
    images = crops(seed=1).images
    base = run.embed(normal_form.to_bytes(model), images, SPEC, "onnxruntime")
    rounded = normal_form.to_bytes(quantize.quantize(model, table))
    return float(np.median((base * run.embed(rounded, images, SPEC, "onnxruntime")).sum(1)))


def test_equalised_channels_change_not_one_bit(table: Table) -> None:
    model = normalised()
    assert list(table.exponents) == list(equalise.targets(model))
    assert max(table.exponents[next(iter(table.exponents))]) > 3
    images = crops(seed=3).images[:20]
    for backend in ("onnxruntime", "openvino"):
        before = run.embed(normal_form.to_bytes(model), images, SPEC, backend)
        after = run.embed(
            normal_form.to_bytes(equalise.apply(model, table.exponents)), images, SPEC, backend
        )
        assert (before == after).all()


def test_they_win_the_depthwise_layer_back(table: Table) -> None:
    model = normalised()
    plain = calibrate.measure(
        model, SPEC, FACES.images, msgspec.structs.replace(table, exponents={}), QUIET
    )
    off = msgspec.structs.replace(plain, exponents={}, biases={})
    histograms = ranges.histograms(model, FACES.images, SPEC)
    off = msgspec.structs.replace(off, ranges={n: h.range("mse") for n, h in histograms.items()})
    assert cosine(model, table) > 0.99
    assert cosine(model, off) < 0.985


def test_where_something_else_reads_a_tensor_it_is_left_alone() -> None:
    model = normalised()
    (name,) = equalise.targets(model)
    reader = normal_form.copy(model)
    for node in reader.graph.node:
        if node.op_type == "Add":
            node.input[0] = name
    assert equalise.targets(reader) == {}
    with pytest.raises(BundleError, match="does not enter a depthwise Conv"):
        equalise.apply(reader, {name: [0] * 16})
    with pytest.raises(BundleError, match="does not have 3 channels"):
        equalise.apply(model, {name: [0] * 3})


def test_exponents_bring_channels_to_one_range_and_leave_silent_ones() -> None:
    spans = np.array([0.5, 1, 2, 64, 0], np.float32)
    chosen = equalise.exponents(spans)
    assert chosen[-1] == 0
    evened = spans[:4] * np.exp2(chosen[:4])
    assert evened.max() / evened.min() <= 2


def test_bias_correction_brings_the_means_back(table: Table) -> None:
    equal = equalise.apply(normalised(), table.exponents)
    names = [n.output[0] for n in equal.graph.node if n.op_type == "Conv"]
    batches = list(run.batches(FACES.images, SPEC))
    wanted = bias_correction._means(equal, names, batches)

    def shift(corrected: dict[str, list[float]]) -> float:
        rounded = quantize.insert(quantize.correct(equal, corrected), table)
        got = bias_correction._means(rounded, names, batches)
        return float(np.mean([np.abs(got[n] - wanted[n]).mean() for n in names]))

    assert shift(table.biases) < shift({}) / 3


def test_every_layer_is_int8_as_tensorrt_reads_it_and_dead_filters_are_mended(table: Table) -> None:
    model = normalised()
    held = normal_form.weights(model)
    dead = held["project.w"].copy()
    dead[3] = 0
    normal_form.put_weights(model, {"project.w": dead})
    found = audit(quantize.quantize(model, table))
    assert found.violations == []
    assert found.quantized == 5
    assert found.floating == []


def test_layers_named_stay_in_float(table: Table) -> None:
    chosen = msgspec.structs.replace(table, floats={"Conv_4": "because"})
    assert audit(quantize.quantize(normalised(), chosen)).floating == ["Conv_4"]


def test_the_same_table_gives_the_same_bytes_and_survives_its_text(table: Table) -> None:
    again = parse(to_text(table), "table")
    assert again == table
    assert normal_form.to_bytes(quantize.quantize(normalised(), table)) == normal_form.to_bytes(
        quantize.quantize(normalised(), again)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranges": {}}, "no range of"),
        ({"biases": {"Conv_0": [1.0]}}, "bias of Conv_0 does not fit"),
        ({"biases": {"Conv_99": [1.0]}}, "bias of Conv_99 does not fit"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    table: Table, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        quantize.quantize(normalised(), msgspec.structs.replace(table, **change))


@pytest.mark.parametrize("text", [b"{}", b"no json", b"\xff"])
def test_a_text_that_is_no_table_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="mine is not a calibration table"):
        parse(text, "mine")


def test_a_histogram_counts_as_a_naive_loop_does() -> None:
    rng = np.random.default_rng(0)
    histogram = ActivationHistogram()
    values = [rng.normal(0, size, 5000).astype(np.float32) for size in (0.1, 3, 1)]
    for part in values:
        histogram.add(part)
    whole = np.abs(np.concatenate(values))
    assert histogram.counts.sum() == len(whole)
    assert histogram.reach == pytest.approx(whole.max())
    for threshold in (0.5, 2.0, 6.0):
        width = histogram.top / ranges.BINS
        low, high = (whole <= threshold).mean(), (whole <= threshold + width).mean()
        assert low - 1e-9 <= histogram.coverage(threshold) <= high + 1e-9


def test_each_method_clips_as_it_says() -> None:
    rng = np.random.default_rng(1)
    sample = np.append(rng.normal(0, 1, 200_000), [40.0]).astype(np.float32)
    histogram = ActivationHistogram()
    histogram.add(sample)
    methods: tuple[Method, ...] = get_args(Method)
    assert set(methods) == set(ranges.THRESHOLDS)
    found = {method: histogram.range(method) for method in methods}
    assert found["minmax"].threshold == 40
    assert found["percentile"].coverage == pytest.approx(0.9999, abs=2e-4)

    def error(threshold: float) -> float:
        step = threshold / 127
        return float(((np.clip(np.round(sample / step), -127, 127) * step - sample) ** 2).mean())

    assert error(found["mse"].threshold) <= 1.02 * min(error(t) for t in np.linspace(2, 40, 60))
    assert 2 < found["entropy"].threshold < 10
