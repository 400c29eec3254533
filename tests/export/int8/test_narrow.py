"""Layers that sum over channels have weights of 7 bits, so that sums in 16 bits do not overflow."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.core.types import Floats
from ostiary.export.audit.check import audit
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import calibrate, quantize
from ostiary.export.records.calibration_table import Range, Table
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731


@pytest.fixture(scope="module")
def table() -> Table:
    faces = crops(people=40, images=1, seed=7)
    return calibrate.calibrate(normalised(), SPEC, faces, "made up", "minmax", True, QUIET)


def wide(table: Table) -> Table:
    return msgspec.structs.replace(table, narrow=[])


def test_calibration_names_all_but_the_depthwise_layers(table: Table) -> None:
    nodes = {node.name: node for node in normalised().graph.node}
    held = normal_form.weights(normalised())
    layers = [n for n in nodes.values() if n.op_type in quantize.OPERATORS]
    depthwise = [n.name for n in layers if normal_form.attribute(n, "group", 1) > 1]
    assert depthwise
    assert all(held[nodes[name].input[1]].shape[1] == 1 for name in depthwise)
    assert table.narrow == [n.name for n in layers if n.name not in depthwise]


def scales(model: onnx.ModelProto) -> dict[str, Floats]:
    """The scales of each weight, by node."""
    held = normal_form.weights(model)
    of = {n.input[0]: n.input[1] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    return {node: held[of[name]] for node, name in quantize.codes_of(model).items()}


def codes(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    held = normal_form.weights(model)
    return {node: held[name] for node, name in quantize.codes_of(model).items()}


def test_a_narrow_layer_has_half_the_codes_at_twice_the_scales(table: Table) -> None:
    before, after = (quantize.quantize(normalised(), one) for one in (wide(table), table))
    for name in table.narrow:
        assert np.abs(codes(before)[name]).max() == quantize.MOST
        narrow = codes(after)[name]
        assert narrow.dtype == np.int8
        each = np.abs(narrow.astype(int)).reshape(len(narrow), -1).max(1)
        assert (each == quantize.NARROW).all(), "each channel uses all codes that it has"
        ratio = scales(after)[name] / scales(before)[name]
        assert ratio == pytest.approx(np.full(len(ratio), quantize.MOST / quantize.NARROW), 1e-5)


def test_the_other_layers_stay_as_they_are(table: Table) -> None:
    before, after = (quantize.quantize(normalised(), one) for one in (wide(table), table))
    for read in (codes, scales):
        was, now = read(before), read(after)
        assert was.keys() == now.keys()
        changed = [node for node in was if (was[node] != now[node]).any()]
        assert sorted(changed) == sorted(table.narrow)
    assert audit(after, "it").passed


def test_a_gemm_with_its_outputs_in_the_second_axis_has_a_scale_for_each() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(12, 5)).astype(np.float32) * np.geomspace(0.1, 10, 5, dtype="f4")
    inputs = [onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["n", 12])]
    ends = [onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, ["n", 5])]
    node = onnx.helper.make_node("Gemm", ["a", "w"], ["b"], "all")
    held = [onnx.numpy_helper.from_array(weight, "w")]
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "it", inputs, ends, held), opset_imports=opset, ir_version=8
    )
    made = quantize.insert(
        model,
        Table(
            encoder_id="0" * 64, method="minmax", data_set="it", images=1, photos=["0" * 16],
            ranges={"a": Range(4.0, -4.0, 4.0, 1.0)},
            narrow=quantize.summing(model),
        ),
    )  # fmt: skip
    step = scales(made)["all"]
    assert step == pytest.approx(np.abs(weight).max(0) / quantize.NARROW)
    assert (np.abs(codes(made)["all"] * step - weight) <= 0.5001 * step).all()


def test_its_weights_are_those_of_the_float_layer_to_half_a_step(table: Table) -> None:
    model, made = normalised(), quantize.quantize(normalised(), table)
    # Without exponents the quantized layer is the float one.
    name = table.narrow[0]
    node = next(node for node in model.graph.node if node.name == name)
    weight = normal_form.weights(model)[node.input[1]]
    step = scales(made)[name].reshape(-1, 1, 1, 1)
    assert (np.abs(codes(made)[name] * step - weight) <= 0.5001 * step).all()
    images = crops(people=20, images=1, seed=3).images
    exact, rounded = (run.embed(normal_form.to_bytes(m), images, SPEC) for m in (model, made))
    assert np.median((exact * rounded).sum(1)) > 0.98


def test_a_narrow_layer_that_stays_in_float_is_left_alone(table: Table) -> None:
    name = table.narrow[0]
    kept = msgspec.structs.replace(table, floats={name: "a test"})
    assert name not in codes(quantize.quantize(normalised(), kept))


def test_a_channel_without_weights_keeps_a_scale_above_zero(table: Table) -> None:
    model, name = normalised(), table.narrow[0]
    node = next(node for node in model.graph.node if node.name == name)
    weight = normal_form.weights(model)[node.input[1]].copy()
    weight[2] = 0
    normal_form.put_weights(model, {node.input[1]: weight})
    made = quantize.insert(model, msgspec.structs.replace(table, exponents={}, biases={}))
    assert (codes(made)[name][2] == 0).all()
    assert scales(made)[name].min() > 0


EMBED = """
import sys
import numpy as np
from ostiary.export.graphs import run
from tests.support.export.made_up import SPEC, crops
for file in sys.argv[1:]:
    images = crops(people=60, images=1, seed=3).images
    np.save(file + ".npy", run.embed(open(file, "rb").read(), images, SPEC, "openvino"))
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="this is about x86 processors"
)
def test_without_vnni_openvino_computes_what_onnx_runtime_does(
    table: Table, tmp_path: Path
) -> None:
    """oneDNN is told to use no instruction later than AVX2: the products then meet in 16 bits."""
    images = crops(people=60, images=1, seed=3).images
    files = {"narrow": table, "wide": wide(table)}
    for name, chosen in files.items():
        data = normal_form.to_bytes(quantize.quantize(normalised(), chosen))
        (tmp_path / name).write_bytes(data)
    old = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run(
        [sys.executable, "-c", EMBED, *(str(tmp_path / name) for name in files)],
        check=True, env=old, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    near = {}
    for name in files:
        exact = run.embed((tmp_path / name).read_bytes(), images, SPEC, "onnxruntime")
        near[name] = (exact * np.load(tmp_path / f"{name}.npy")).sum(1).min()
    assert near["narrow"] > 0.999
    assert near["wide"] < near["narrow"], "without 7 bits the sums overflow"
