"""The audit of a small quantized MobileFaceNet: legal, then with one fault planted at a time."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.errors import BundleError
from ostiary.export.audit.check import Audit, audit, audit_file
from tests.support.export.small_encoder import LEGAL, encoder, quantize, stripped

Mutation = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def legal_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from onnxruntime.quantization import QuantType

    made = quantize(
        tmp_path_factory.mktemp("legal"),
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        **LEGAL,
    )
    serialized: bytes = made.SerializeToString()
    return serialized


@pytest.fixture
def legal(legal_bytes: bytes) -> onnx.ModelProto:
    parsed: onnx.ModelProto = onnx.ModelProto.FromString(legal_bytes)
    return parsed


def broken(result: Audit) -> set[tuple[str, str]]:
    assert all(v.problem and v.cure for v in result.violations)
    return {(v.rule, v.node) for v in result.violations}


def rules(result: Audit) -> set[str]:
    return {rule for rule, _ in broken(result)}


def test_the_legal_recipe_passes(legal: onnx.ModelProto) -> None:
    result = audit(legal, "small.onnx")
    assert result.violations == []
    assert result.passed
    assert (result.file, result.opset, result.quantized) == ("small.onnx", 13, 4)
    assert (result.floating, result.notes) == ([], [])


def test_a_float_model_passes_if_float_is_expected(tmp_path: Path) -> None:
    result = audit(encoder(), expect_int8=False)
    assert result.passed
    assert result.floating == ["stem", "depth", "point", "whole"]
    assert broken(audit(encoder())) == {("quantized", "model")}
    onnx.save(encoder(), tmp_path / "float.onnx")
    assert audit_file(tmp_path / "float.onnx").passed
    assert not audit_file(tmp_path / "float.onnx", expect_int8=True).passed


def test_a_layer_left_in_float_is_named(legal: onnx.ModelProto) -> None:
    _node(legal, "stem").input[0] = "input"
    result = audit(legal)
    assert result.floating == ["stem"]
    assert result.quantized == 3


def test_onnx_runtimes_defaults_are_refused(tmp_path: Path) -> None:
    found = broken(audit(quantize(tmp_path)))
    assert {
        ("zero point", "act.y_QuantizeLinear"),
        ("bias", "stem.b_DequantizeLinear"),
        ("placement", "stem.y_QuantizeLinear"),
    } <= found


def test_qoperator_is_refused(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantFormat

    result = audit(quantize(tmp_path, quant_format=QuantFormat.QOperator))
    nodes = ("stem_quant", "depth_quant", "point_quant", "add_quant", "whole_quant")
    assert broken(result) == {("quantized", "model"), *(("format", name) for name in nodes)}


def test_uint8_activations_are_refused(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType

    made = quantize(
        tmp_path, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, **LEGAL
    )
    result = audit(made)
    assert {("type", "input_QuantizeLinear")} <= broken(result)
    assert rules(result) == {"type", "quantized"}


def test_one_scale_for_a_weight_is_legal_and_noted(legal: onnx.ModelProto) -> None:
    _set(legal, "stem.w_scale", np.float32(0.01))
    _set(legal, "stem.w_zero_point", np.int8(0))
    result = audit(legal)
    assert result.passed
    assert result.notes == ["stem has one weight scale for all channels"]


@pytest.mark.parametrize("side", [0, 1], ids=["identity", "branch"])
def test_an_add_may_be_quantized_on_either_side(legal: onnx.ModelProto, side: int) -> None:
    _pair_before(legal, "add", side)
    assert audit(legal).passed


def _node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(n for n in model.graph.node if n.name == name)
    return found


def _set(model: onnx.ModelProto, name: str, value: Any) -> None:
    found = next(i for i in model.graph.initializer if i.name == name)
    found.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def _add(model: onnx.ModelProto, name: str, value: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _before(model: onnx.ModelProto, name: str, *nodes: onnx.NodeProto) -> None:
    at = next(i for i, n in enumerate(model.graph.node) if n.name == name)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(at + offset, node)


def _pair_before(model: onnx.ModelProto, name: str, at: int) -> None:
    node, scale = _node(model, name), ["input_scale", "input_zero_point"]
    _before(
        model,
        name,
        helper.make_node("QuantizeLinear", [node.input[at], *scale], ["q.y"], "q"),
        helper.make_node("DequantizeLinear", ["q.y", *scale], ["dq.y"], "dq"),
    )
    _node(model, name).input[at] = "dq.y"


def _int32_bias(model: onnx.ModelProto) -> None:
    _set(model, "stem.b", np.zeros(8, np.int32))
    _add(model, "s", np.float32(0.1))
    _before(model, "stem", helper.make_node("DequantizeLinear", ["stem.b", "s"], ["b.y"], "b"))
    _node(model, "stem").input[2] = "b.y"


def _no_dequantize(model: onnx.ModelProto) -> None:
    dequantize = _node(model, "input_DequantizeLinear")
    _node(model, "stem").input[0] = dequantize.input[0]
    model.graph.node.remove(dequantize)


def _no_quantize(model: onnx.ModelProto) -> None:
    _before(model, "stem", helper.make_node("Cast", ["input"], ["c.y"], "c", to=TensorProto.INT8))
    dequantize = _node(model, "input_DequantizeLinear")
    model.graph.node.remove(dequantize)
    moved = helper.make_node("DequantizeLinear", ["c.y", *dequantize.input[1:]], ["d.y"], "d")
    _before(model, "stem", moved)
    _node(model, "stem").input[0] = "d.y"
    model.graph.node.remove(_node(model, "input_QuantizeLinear"))


def _other_scale(model: onnx.ModelProto) -> None:
    _add(model, "other", np.float32(0.5))
    _node(model, "input_DequantizeLinear").input[1] = "other"


def _axis(model: onnx.ModelProto) -> None:
    _node(model, STEM_DQ).attribute[0].i = 1


def _several_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.add().CopyFrom(
        helper.make_tensor_value_info("add.y", TensorProto.FLOAT, ["n", 8, 8, 8])
    )


def _no_zero_point(model: onnx.ModelProto) -> None:
    # Without its zero point the pair is uint8 for ONNX Runtime and int8 for TensorRT.
    del _node(model, "act.y_QuantizeLinear").input[2]
    _add(model, "zero", np.uint8(0))
    del _node(model, "act.y_DequantizeLinear").input[2]
    stripped(model)


def _open_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"


def _element(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def _truncated(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-3]


def _to(name: str, value: Any) -> Mutation:
    return lambda model: _set(model, name, value)


def _renamed(operator: str) -> Mutation:
    def mutate(model: onnx.ModelProto) -> None:
        _node(model, "act").op_type = operator
        del _node(model, "act").input[1:]
        stripped(model)

    return mutate


def _opset(domain: str, version: int) -> Mutation:
    def mutate(model: onnx.ModelProto) -> None:
        kept = [o for o in model.opset_import if o.domain != domain]
        del model.opset_import[:]
        model.opset_import.extend([*kept, helper.make_opsetid(domain, version)])

    return mutate


INPUT_Q, STEM_DQ = "input_QuantizeLinear", "stem.w_DequantizeLinear"
PLANTED: list[tuple[str, str, Mutation]] = [
    ("zero point", INPUT_Q, _to("input_zero_point", np.int8(3))),
    ("zero point", STEM_DQ, _to("stem.w_zero_point", np.arange(8, dtype=np.int8))),
    ("scale", INPUT_Q, _to("input_scale", np.float32(-0.1))),
    ("scale", INPUT_Q, _to("input_scale", np.float32(np.inf))),
    ("scale", STEM_DQ, _to("stem.w_scale", np.zeros(8, np.float32))),
    ("scale", STEM_DQ, _to("stem.w_scale", np.full(8, 0.1, np.float16))),
    ("activation", INPUT_Q, _to("input_scale", np.full(3, 0.1, np.float32))),
    ("axis", STEM_DQ, _axis),
    ("channels", STEM_DQ, _to("stem.w_scale", np.full(3, 0.1, np.float32))),
    ("type", "act.y_QuantizeLinear", _no_zero_point),
    ("pair", INPUT_Q, _no_dequantize),
    ("pair", "d", _no_quantize),
    ("pair", "input_DequantizeLinear", _other_scale),
    ("bias", "b", _int32_bias),
    ("placement", "q", lambda model: _pair_before(model, "act", 0)),
    ("shape", "input", _open_height),
    ("output", "embedding", _element),
    ("output", "model", _several_outputs),
    ("opset", "model", _opset("", 19)),
    ("opset", "model", _opset("", 18)),
    ("domain", "model", _opset("com.microsoft", 1)),
    ("unused", "spare", lambda model: _add(model, "spare", np.float32(1))),
    ("operator", "act", _renamed("PReluOfOurs")),
    ("operator", "act", _renamed("Softsign")),
    ("double", "slope", _to("slope", np.zeros((8, 1, 1)))),
    ("graph", "model", _truncated),
]


@pytest.mark.parametrize(
    ("rule", "node", "mutate"), PLANTED, ids=[f"{n}-{p[0]}" for n, p in enumerate(PLANTED)]
)
def test_each_planted_fault_is_found_and_nothing_else(
    legal: onnx.ModelProto, rule: str, node: str, mutate: Mutation
) -> None:
    mutate(legal)
    assert broken(audit(legal)) == {(rule, node)}


def test_the_hash_is_that_of_the_file(tmp_path: Path, legal_bytes: bytes) -> None:
    path = tmp_path / "int8.onnx"
    path.write_bytes(legal_bytes)
    result = audit_file(path)
    assert result.passed
    assert result.sha256 == hashlib.sha256(legal_bytes).hexdigest()


@pytest.mark.parametrize("data", [b"", b"no model at all", b"\xff" * 99])
def test_a_file_that_is_not_onnx_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"a\.onnx is not an ONNX model"):
        audit_file(path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, legal_bytes: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(legal_bytes.replace(b"PRelu", b"PR\xfflu", 1))
    with pytest.raises(BundleError, match="names that are not valid UTF-8"):
        audit_file(path)


def test_a_missing_file_and_missing_external_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"gone\.onnx cannot be read"):
        audit_file(tmp_path / "gone.onnx")
    path = tmp_path / "a.onnx"
    onnx.save(encoder(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert audit_file(path).passed
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BundleError, match=r"weights\.bin"):
        audit_file(path)
