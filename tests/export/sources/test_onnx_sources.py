"""Encoders and pairs as ONNX files, accepted and refused; needs no PyTorch."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.export.sources import proof
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import EncoderSource, read_spec

SMALL = EncoderSource("net.onnx", (4, 4), "gray", 127.5, 127.5)
W, V = (np.random.default_rng(seed).normal(size=(16, 2)).astype(np.float32) for seed in (1, 2))


def embed(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return proof.runner(model)(images)[0]


def changed(spec: EncoderSource, **fields: object) -> EncoderSource:
    kept = {name: getattr(spec, name) for name in spec.__struct_fields__}
    return EncoderSource(**(kept | fields))


# The description.


def test_a_description_is_read(tmp_path: Path) -> None:
    text = 'source="a.b:c"\nstate="w.pt"\nsize_px=[112, 96]\nchannels="rgb"\nmean=0\nscale=255'
    (tmp_path / "e.toml").write_text(text)
    spec = read_spec(tmp_path / "e.toml")
    assert (spec.factory, spec.shape, spec.pair) == (("a.b", "c"), (3, 112, 96), False)
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_spec(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("scale = 0", r"\$\.scale"),
        ("scale = inf", "scale must be finite"),
        ("size_px = [28]", r"\$\.size_px"),
        ('channels = "cmyk"', r"\$\.channels"),
        ("dims = 3", "dims"),
        ('state = "w.pt"', "state belongs to"),
        ('mean = "\\xff', "e.toml"),
    ],
)
def test_a_wrong_description_names_the_field(line: str, says: str, tmp_path: Path) -> None:
    fields = {"source": '"x.onnx"', "size_px": "[28, 28]", "channels": '"gray"'}
    fields |= {"mean": "0", "scale": "1"} | {line.partition(" ")[0]: line.partition("= ")[2]}
    (tmp_path / "e.toml").write_text("\n".join(f"{k} = {v}" for k, v in fields.items()))
    with pytest.raises(ConfigError, match=says):
        read_spec(tmp_path / "e.toml")


# ONNX.


def small(ports: str, body: str, folder: Path, opset: int = 17, extra: str = "") -> onnx.ModelProto:
    """Write net.onnx from a body in onnx's text form, with the weights w and v."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}{extra}]> net {ports} {{ {body} }}'
    )
    for name, value in (("w", W), ("v", V)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return model


ONE = "(float[n,1,4,4] x) => (float[n,d] y)"
TWO = "(float[n,1,4,4] a, float[n,1,4,4] b) => (float[n,d] y)"
PLAIN = "f = Flatten(x) y = MatMul(f, w)"
DIFFERENCE = "d = Sub(p, q) y = Abs(d)"
FIXED = "(float[1,1,4,4] x) => (float[1,2] y)"
IMAGES = np.random.default_rng(3).normal(size=(5, 1, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("ports", "body", "opset"),
    [
        (ONE, PLAIN, 17),
        (ONE, PLAIN, 20),
        (FIXED, "s = Constant<value_ints = [1, 16]>() f = Reshape(x, s) y = MatMul(f, w)", 12),
        (FIXED, "s = Constant<value_ints = [1, -1]>() f = Reshape(x, s) y = MatMul(f, w)", 13),
        (
            "(float[n,c,h,w_] x) => (float[n,2,1,1] y)",
            "k = Constant<value_ints = [2, 1, 4, 4]>() t = Transpose(w) c = Reshape(t, k)"
            " y = Conv(x, c)",
            13,
        ),
        ("(float[n,1,4,4] embedding) => (float[n,2] input)",
         "f = Flatten(embedding) input = MatMul(f, w)", 17),
    ],
)  # fmt: skip
def test_onnx_is_brought_to_one_plain_form(
    ports: str, body: str, opset: int, tmp_path: Path
) -> None:
    small(ports, body, tmp_path, opset)
    model = load_source(SMALL, tmp_path)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [
        "input",
        "embedding",
    ]
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["n", 1, 4, 4]
    assert [o.version for o in model.opset_import] == [17]
    assert embed(model, IMAGES) == pytest.approx(IMAGES.reshape(5, 16) @ W, abs=1e-5)


def test_an_opset_that_cannot_be_lowered_stays(tmp_path: Path) -> None:
    """Gelu is an operator since opset 20 only."""
    small(ONE, "f = Flatten(x) g = Gelu(f) y = MatMul(g, w)", tmp_path, 21)
    assert [o.version for o in load_source(SMALL, tmp_path).opset_import] == [20]


def test_nothing_but_computation_is_kept(tmp_path: Path) -> None:
    model = small(ONE, PLAIN + " unused = Relu(f)", tmp_path)
    clean = load_source(SMALL, tmp_path).SerializeToString(deterministic=True)
    model.producer_name = model.doc_string = model.graph.node[0].doc_string = "/home/me"
    model.metadata_props.add(key="who", value="me")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    again = load_source(SMALL, tmp_path)
    assert again.SerializeToString(deterministic=True) == clean
    assert [node.op_type for node in again.graph.node] == ["Flatten", "MatMul"]
    assert [weight.name for weight in again.graph.initializer] == ["w"]


@pytest.mark.parametrize(
    ("ports", "body", "fields", "says"),
    [
        (ONE[:-1] + ", float[n,16] f)", PLAIN, {}, "2 outputs: y, f"),
        (TWO, "s = Add(a, b) f = Flatten(s) y = MatMul(f, w)", {}, r"2 inputs \(a, b\).*pair = tr"),
        (ONE, PLAIN, {"pair": True}, r"1 inputs \(x\), expected 2"),
        (ONE, "f = Flatten(x) y = com.acme.Face(f)", {}, "operator Face of domain 'com.acme'"),
        (ONE, "f = Flatten(x) y = Fcae(f)", {}, "operator Fcae of opset 17.*giving"),
        (ONE, PLAIN, {"channels": "rgb"}, r"\(n, 1, 4, 4\), expected \(n, 3, 4, 4\)"),
        (ONE, PLAIN, {"size_px": (4, 5)}, r"\(n, 1, 4, 4\), expected \(n, 1, 4, 5\)"),
        ("(float[n,4,4,1] x) => (float[n,2] y)", PLAIN, {}, "NCHW"),
        ("(float16[n,1,4,4] x) => (float16[n,16] y)", "y = Flatten(x)", {}, "float16, expected"),
        ("(float[n,1,4,4] x) => (float[n,1,4,4] y)", "y = Relu(x)", {}, r"expected \(n, dim\)"),
        (ONE, "y = Identity(w)", {}, "'y' of net.onnx does not depend on the image"),
        (ONE, "f = Flatten(x) z = Sub(f, f) y = MatMul(z, w)", {}, "every image the same"),
        (ONE, "f = Flatten(x) l = Sub(f, f) z = Div(l, l) y = MatMul(z, w)", {}, "not finite"),
        (ONE, "m = ReduceMean<axes = [0]>(x) s = Sub(x, m) f = Flatten(s) y = MatMul(f, w)", {},
         "another embedding in a batch"),
        (FIXED, "o = Constant<value_ints = [1]>() k = Constant<value_ints = [16]>()"
         " s = Concat<axis = 0>(o, k) f = Reshape(x, s) y = MatMul(f, w)", {},
         r"cannot run the encoder on \(3, 1, 4, 4\).*batch of any size"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_an_encoder_is_refused(
    ports: str, body: str, fields: dict[str, object], says: str, tmp_path: Path
) -> None:
    small(ports, body, tmp_path, extra=', "com.acme" : 1' if "acme" in body else "")
    with pytest.raises(BundleError, match=says):
        load_source(changed(SMALL, **fields), tmp_path)


def test_files_that_are_not_onnx_are_refused(tmp_path: Path) -> None:
    whole = small(ONE, PLAIN, tmp_path).SerializeToString()
    for raw in (b"", b"garbage bytes, no protobuf", whole[: len(whole) // 2], whole[:-3]):
        (tmp_path / "net.onnx").write_bytes(raw)
        with pytest.raises(BundleError, match=r"net\.onnx is not an ONNX model"):
            load_source(SMALL, tmp_path)
    (tmp_path / "net.onnx").unlink()
    with pytest.raises(BundleError, match=r"no file .*net\.onnx"):
        load_source(SMALL, tmp_path)
    with pytest.raises(ConfigError, match=r"'net\.h5' has no known form"):
        load_source(changed(SMALL, source="net.h5"), tmp_path)


def test_external_weights_are_read_from_the_folder_only(tmp_path: Path) -> None:
    model, file = small(ONE, PLAIN, tmp_path), tmp_path / "net.onnx"
    onnx.save(model, file, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert embed(load_source(SMALL, tmp_path), IMAGES).shape == (5, 2)
    inner = tmp_path / "inner"
    inner.mkdir()
    for location in ("none.bin", "../w.bin"):
        outside = onnx.load(file, load_external_data=False)
        for weight in outside.graph.initializer:
            weight.external_data[0].value = location
        (inner / "net.onnx").write_bytes(outside.SerializeToString())
        with pytest.raises(BundleError, match=re.escape(location)):
            load_source(SMALL, inner)


# Pairs in ONNX.

BRANCHES = "f = Flatten(a) g = Flatten(b) p = MatMul(f, w) q = MatMul(g, {}) "


@pytest.mark.parametrize(
    "body",
    [
        BRANCHES.format("w") + DIFFERENCE,
        BRANCHES.format("u").replace("g =", "u = Identity(w) g =") + DIFFERENCE,
        BRANCHES.format("w") + "o = Constant<value_ints = [1]>() i = Unsqueeze(p, o)"
        " j = Unsqueeze(q, o) d = Sub(i, j) y = Flatten(d)",
        "s = Shape(a) t = Shape(b) f = Flatten(a) h = Flatten(b) l = Constant<value_ints = [0]>()"
        " o = Constant<value_ints = [1]>() k = Constant<value_ints = [-1]>() n = Slice(t, l, o)"
        " m = Slice(t, l, o) r = Concat<axis = 0>(n, k) e = Concat<axis = 0>(m, k)"
        " f2 = Reshape(a, r) h2 = Reshape(b, e) p = MatMul(f2, w) q = MatMul(h2, w) " + DIFFERENCE,
    ],
)  # fmt: skip
def test_the_branch_of_a_pair_is_taken(body: str, tmp_path: Path) -> None:
    small(TWO, body, tmp_path)
    model = load_source(changed(SMALL, pair=True), tmp_path)
    assert len(model.graph.input) == len(model.graph.output) == 1
    assert embed(model, IMAGES) == pytest.approx(IMAGES.reshape(5, 16) @ W, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (BRANCHES.format("v") + DIFFERENCE, "share their weights: 'w' is not 'v'.*MatMul"),
        (BRANCHES.format("w").replace("q =", "z = Relu(g) q =").replace("(g, w)", "(z, w)")
         + DIFFERENCE, "differ at nodes Flatten.*Relu"),
        (BRANCHES.format("w").replace("Flatten(b)", "Flatten<axis = -3>(b)") + DIFFERENCE,
         "differ at nodes Flatten"),
        ("c = Concat<axis = 1>(a, b) y = Flatten(c)", "no single end.*'a' into Concat"),
        ("f = Flatten(a) y = MatMul(f, w)", "no output of net.onnx depends on its input 'b'"),
    ],
)  # fmt: skip
def test_a_pair_without_one_branch_is_refused(body: str, says: str, tmp_path: Path) -> None:
    small(TWO, body, tmp_path)
    with pytest.raises(BundleError, match=says):
        load_source(changed(SMALL, pair=True), tmp_path)
