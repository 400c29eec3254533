"""Builds with TensorRT for RTX, without a GPU, and the files it refuses."""

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.errors import BackendError, BundleError, OstiaryError
from ostiary.export.audit import rtx
from ostiary.export.engine import workshop

needs_rtx = pytest.mark.skipif(bool(rtx.rtx_available()), reason=rtx.rtx_available())


def quantized(zero_point: int = 0, batch: int | str = "n", side: int | str = 8) -> bytes:
    """Q/DQ, one Conv and PReLU: the smallest legal int8 network."""
    rng = np.random.default_rng(2)
    values = {
        "scale": np.float32(0.01),
        "zero": np.int8(zero_point),
        "weight": rng.integers(-127, 127, (8, 3, 3, 3)).astype(np.int8),
        "weight.scale": np.full(8, 0.02, np.float32),
        "slope": np.full((8, 1, 1), 0.1, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"], "dequantize"),
        helper.make_node("DequantizeLinear", ["weight", "weight.scale"], ["w"], "weights", axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["y", "slope"], ["output"], "act"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 8, side, side])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()],
    )
    opsets = [helper.make_opsetid("", 13)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


@needs_rtx
@pytest.mark.parametrize("batch", ["n", 1])
def test_a_legal_file_is_built(batch: int | str, capfd: pytest.CaptureFixture[str]) -> None:
    built = rtx.build_for_rtx(quantized(batch=batch))
    assert built.version
    assert built.plan_bytes > 1000
    assert built.layers >= 5
    assert built.messages == []
    assert capfd.readouterr() == ("", "")


@needs_rtx
def test_a_zero_point_is_refused_by_node(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError, match=r"quantize \(QuantizeLinear\).*zero point"):
        rtx.build_for_rtx(quantized(zero_point=3))
    assert capfd.readouterr() == ("", "")
    assert rtx.build_for_rtx(quantized()).messages == []


@needs_rtx
@pytest.mark.parametrize("data", [b"", b"no model at all", quantized()[:-300]])
def test_a_file_that_is_not_a_model_is_refused(data: bytes) -> None:
    with pytest.raises(OstiaryError, match=r"tensorrt_rtx (refuses|cannot build)|process died"):
        rtx.build_for_rtx(data)


@needs_rtx
def test_only_the_batch_may_vary() -> None:
    with pytest.raises(BundleError, match="the input input has the open shape"):
        rtx.build_for_rtx(quantized(side="side"))


@needs_rtx
def test_an_unknown_gpu_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BundleError, match="cannot build for sm87") as caught:
        rtx.build_for_rtx(quantized(), "sm87")
    assert "sm86" in caught.value.hint


@needs_rtx
def test_a_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "CHILD", "import os; os.abort()")
    with pytest.raises(BackendError, match="process died with SIGABRT"):
        rtx.build_for_rtx(quantized())


@needs_rtx
def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BundleError, match="not valid UTF-8"):
        rtx.build_for_rtx(quantized().replace(b"PRelu", b"PR\xfflu"))


def test_without_tensorrt_for_rtx_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert "tensorrt_rtx" in rtx.rtx_available()
    with pytest.raises(BundleError, match="cannot be loaded"):
        rtx.build_for_rtx(b"")
