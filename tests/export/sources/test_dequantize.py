"""Weights stored in few bits become the float32 weights that ONNX Runtime makes of them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

from ostiary.edge.errors import BundleError
from ostiary.export.sources import dequantize, proof
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import EncoderSource

SMALL = EncoderSource("net.onnx", (4, 4), "gray", 127.5, 127.5)
IMAGES = np.random.default_rng(3).normal(size=(3, 1, 4, 4)).astype(np.float32)
SHAPE = (5, 7)
TYPES = {
    "int8": (TensorProto.INT8, -128, 127),
    "uint8": (TensorProto.UINT8, 0, 255),
    "int16": (TensorProto.INT16, -32768, 32767),
    "int4": (TensorProto.INT4, -8, 7),
    "uint4": (TensorProto.UINT4, 0, 15),
}


def stored(
    model: onnx.ModelProto, name: str, kind: int, values: NDArray[np.int64]
) -> NDArray[np.int64]:
    flat = [int(value) for value in values.ravel()]
    model.graph.initializer.append(helper.make_tensor(name, kind, values.shape, flat))
    return values


def a_dequantized(
    kind: str, scales: tuple[int, ...], axis: int, block: int, zero: bool
) -> onnx.ModelProto:
    """A model without inputs, which gives w: codes of SHAPE by scales of the given shape."""
    size = f", block_size = {block}" if block else ""
    third = ", z" if zero else ""
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> net () => (float[5,7] w)'
        f"{{ w = DequantizeLinear<axis = {axis}{size}>(q, s{third}) }}"
    )
    number, low, high = TYPES[kind]
    rng = np.random.default_rng(len(scales) + block)
    stored(model, "q", number, rng.integers(low, high, SHAPE, endpoint=True))
    scale = rng.uniform(0.001, 0.1, scales).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(scale, "s"))
    if zero:
        stored(model, "z", number, rng.integers(low, high, scales, endpoint=True))
    return model


def weights(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("zero", [False, True], ids=["no zero point", "zero point"])
@pytest.mark.parametrize(
    ("scales", "axis", "block"),
    [
        pytest.param((), 1, 0, id="tensor"),
        pytest.param((5,), 0, 0, id="axis 0"),
        pytest.param((7,), -1, 0, id="axis -1"),
        pytest.param((5, 1), 1, 7, id="one block"),
        pytest.param((5, 3), 1, 3, id="blocks, the last one shorter"),
        pytest.param((3, 7), 0, 2, id="blocks of axis 0"),
        pytest.param((3, 7), -2, 2, id="blocks of axis -2"),
    ],
)
def test_the_weights_are_those_of_onnx_runtime_to_the_bit(
    kind: str, zero: bool, scales: tuple[int, ...], axis: int, block: int
) -> None:
    model = a_dequantized(kind, scales, axis, block, zero)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {})[0]
    made = dequantize.in_float(model, "net.onnx")
    assert operators(made) == []
    assert list(weights(made)) == ["w"]
    assert weights(made)["w"].dtype == np.float32
    assert np.array_equal(weights(made)["w"], expected)


def test_every_scale_belongs_to_its_own_block() -> None:
    codes = np.arange(10, dtype=np.int8).reshape(2, 5)
    scale = np.array([[1, 10, 100], [2, 20, 200]], np.float32)
    zero = np.array([[0, 1, 0], [0, 0, 9]], np.int8)
    expected = [
        [(int(codes[r, c]) - int(zero[r, c // 2])) * scale[r, c // 2] for c in range(5)]
        for r in range(2)
    ]
    assert np.array_equal(dequantize.dequantized(codes, scale, zero, 1, 2), expected)


@pytest.mark.parametrize(
    ("scales", "axis", "block"),
    [((4,), 0, 0), ((5, 2), 1, 3), ((7, 3), 1, 3), ((5,), 1, 3), ((5,), 2, 0), ((5, 3), 2, 3)],
)
def test_scales_that_do_not_fit_name_file_and_node(
    scales: tuple[int, ...], axis: int, block: int
) -> None:
    model = a_dequantized("int8", scales, axis, block, zero=False)
    with pytest.raises(BundleError, match=r"net\.onnx: the scales .*DequantizeLinear"):
        dequantize.in_float(model, "net.onnx")


# A whole encoder.

W = np.random.default_rng(1).integers(-128, 128, (2, 16))
ENCODER = (
    "k = Constant<value_ints = [0, 4, -1]>() r = Reshape(d, k) t = Constant<value_ints = [2, 16]>()"
    " u = Reshape(r, t) f = Flatten(x) y = Gemm<transB = 1>(f, u)"
)
DEQUANTIZE = "d = DequantizeLinear<axis = 1, block_size = 6>(q, s) "


def encoder(
    folder: Path,
    body: str = DEQUANTIZE + ENCODER,
    inputs: str = "float[n,1,4,4] x",
    scale: type[np.floating] = np.float32,
) -> onnx.ModelProto:
    """Write net.onnx, whose weights W are in int8 blocks of 6."""
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> net ({inputs}) => (float[n,2] y) {{ {body} }}'
    )
    stored(model, "q", TensorProto.INT8, W)
    scales = np.array([[0.01, 0.02, 0.03], [0.1, 0.2, 0.3]], scale)
    model.graph.initializer.append(numpy_helper.from_array(scales, "s"))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return model


def embed(model: onnx.ModelProto) -> NDArray[np.float32]:
    return np.asarray(proof.runner(model)(IMAGES)[0])


def test_an_encoder_in_int8_blocks_is_a_source_as_any_other(tmp_path: Path) -> None:
    original = encoder(tmp_path)
    made = load_source(SMALL, tmp_path)
    assert operators(made) == ["Flatten", "Gemm"]
    assert [opset.version for opset in made.opset_import] == [17]
    assert [item.name for item in made.graph.input] == ["input"]
    assert {item.data_type for item in made.graph.initializer} == {TensorProto.FLOAT}
    assert embed(made) == pytest.approx(embed(original), abs=1e-5)


def test_names_of_float_weights_left_among_the_inputs_are_dropped(tmp_path: Path) -> None:
    original = encoder(tmp_path, inputs="float[2,16] w, float[n,1,4,4] x, float[2,1,3,3] v")
    made = dequantize.in_float(original, "net.onnx")
    assert [item.name for item in made.graph.input] == ["x"]
    assert [item.name for item in load_source(SMALL, tmp_path).graph.input] == ["input"]


def test_a_second_image_is_not_taken_for_a_weight(tmp_path: Path) -> None:
    encoder(tmp_path, inputs="float[n,1,4,4] x, float[n,1,4,4] other")
    with pytest.raises(BundleError, match=r"2 inputs \(x, other\)"):
        load_source(SMALL, tmp_path)


def test_what_depends_on_the_image_stays_quantized(tmp_path: Path) -> None:
    body = (
        "c = Constant<value_float = 0.05>() z = Constant<value = int8 {3}>()"
        " p = QuantizeLinear(x, c, z) x2 = DequantizeLinear(p, c, z) "
    )
    original = encoder(tmp_path, body + DEQUANTIZE + ENCODER.replace("(x)", "(x2)"))
    made = dequantize.in_float(original, "net.onnx")
    assert operators(made).count("DequantizeLinear") == 1
    assert "QuantizeLinear" in operators(made)
    assert embed(made) == pytest.approx(embed(original), abs=1e-5)


def test_half_precision_is_refused_by_name(tmp_path: Path) -> None:
    body = DEQUANTIZE.replace("d =", "h =") + "d = Cast<to = 1>(h) " + ENCODER
    encoder(tmp_path, body, scale=np.float16)
    with pytest.raises(BundleError, match=r"weights 's' are not float32"):
        load_source(SMALL, tmp_path)


@pytest.mark.parametrize(
    ("dropout", "stays"),
    [
        ("g = Dropout(f)", False),
        ("g = Dropout(f, half)", False),
        ("g = Dropout(f, half, no)", False),
        ("h = Dropout(f) g = Dropout(h)", False),
        ("g = Dropout(f, half, yes)", True),
        ("h, m = Dropout(f) i = Cast<to = 1>(m) g = Mul(h, i)", True),
    ],
)
def test_dropout_stays_only_if_it_does_something(dropout: str, stays: bool, tmp_path: Path) -> None:
    constants = (
        "half = Constant<value_float = 0.5>() no = Constant<value = bool {0}>()"
        " yes = Constant<value = bool {1}>() "
    )
    body = DEQUANTIZE + constants + ENCODER.replace("y = Gemm", f"{dropout} y = Gemm")
    original = encoder(tmp_path, body.replace("(f, u)", "(g, u)"))
    made = dequantize.in_float(original, "net.onnx")
    assert ("Dropout" in operators(made)) == stays
    if "yes" not in dropout:
        assert embed(made) == pytest.approx(embed(original), abs=1e-5)


def test_a_dropout_at_the_end_is_dropped_too(tmp_path: Path) -> None:
    body = DEQUANTIZE + ENCODER.replace("y = Gemm", "e = Gemm") + " y = Dropout(e)"
    original = encoder(tmp_path, body)
    made = load_source(SMALL, tmp_path)
    assert operators(made) == ["Flatten", "Gemm"]
    assert embed(made) == pytest.approx(embed(original), abs=1e-5)


def test_a_model_without_any_of_this_keeps_its_bytes(tmp_path: Path) -> None:
    model = encoder(tmp_path)
    plain = dequantize.in_float(model, "net.onnx")
    again = dequantize.in_float(plain, "net.onnx")
    assert again.SerializeToString() == plain.SerializeToString()
