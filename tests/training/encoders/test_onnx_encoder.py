"""Encoders as ONNX and back: what is saved is what was trained, and what differs is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form, run
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import read_spec
from ostiary.training.encoders import save
from ostiary.training.encoders.architectures import ARCHITECTURES, Bottleneck, Encoder, Stack, build
from ostiary.training.encoders.onnx_encoder import OnnxEncoder
from ostiary.training.judge.embed import embed

CROPS = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), np.uint8)
SPEC = InputSpec((12, 12), "rgb", 127.5, 128.0)


def tiny() -> Stack:
    """What the architectures are made of, each kind of layer once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8), nn.MaxPool2d(2),
            Bottleneck(8, 8, 2, 1, nn.PReLU), nn.Conv2d(8, 16, 5, groups=8, bias=False),
            nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 2 * 2, 16),
        )  # fmt: skip
    return Stack(SPEC, 16, layers)


@pytest.fixture(scope="module")
def source() -> Stack:
    return tiny()


@pytest.fixture(scope="module")
def saved(source: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder's folder; its description's name there is `save.DESCRIPTION`."""
    folder = tmp_path_factory.mktemp("saved")
    assert save.write(source, folder, 'ours "alone"') == folder / save.DESCRIPTION
    return folder


@pytest.fixture
def model(saved: Path) -> onnx.ModelProto:
    return onnx.load(saved / save.ENCODER)


def same_through_export(encoder: Encoder, folder: Path) -> None:
    raw = (folder / save.ENCODER).read_bytes()
    assert run.embed(raw, CROPS, encoder.spec) == pytest.approx(embed(encoder, CROPS), abs=1e-5)
    again = normal_form.normalise(
        load_source(read_spec(folder / save.DESCRIPTION), folder), encoder.spec
    )
    assert normal_form.to_bytes(again) == raw
    assert encoder.training
    assert not any(n.op_type == "BatchNormalization" for n in onnx.load_from_string(raw).graph.node)


def test_the_saved_encoder_is_what_was_trained_and_keeps_its_id_through_export(
    source: Stack, saved: Path
) -> None:
    same_through_export(source, saved)
    assert read_spec(saved / save.DESCRIPTION).licence == 'ours "alone"'


@pytest.mark.long
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_so_is_every_architecture(name: str, tmp_path: Path) -> None:
    encoder = build(name, 3)
    save.write(encoder, tmp_path)
    same_through_export(encoder, tmp_path)
    model = onnx.load(tmp_path / save.ENCODER)
    assert embed(OnnxEncoder(model, encoder.spec), CROPS) == pytest.approx(
        embed(encoder, CROPS), abs=1e-5
    )


def test_an_onnx_encoder_computes_the_same_learns_and_is_written_back(
    source: Stack, model: onnx.ModelProto
) -> None:
    encoder = OnnxEncoder(model, SPEC)
    assert encoder.dim == 16
    assert {"Add", "Conv", "Gemm", "MaxPool", "PRelu"} < {n.op_type for n in model.graph.node}
    assert embed(encoder, CROPS) == pytest.approx(embed(source, CROPS), abs=1e-5)
    assert normal_form.to_bytes(encoder.to_onnx()) == normal_form.to_bytes(model)
    optimiser = torch.optim.SGD(encoder.parameters(), 0.1)
    given = torch.from_numpy(run.tensors(CROPS, SPEC))
    encoder(given)[0, 0].backward()
    assert all(p.grad is not None for p in encoder.parameters())
    optimiser.step()
    learned = normal_form.to_bytes(encoder.to_onnx())
    assert learned != normal_form.to_bytes(model)
    assert run.embed(learned, CROPS, SPEC) == pytest.approx(embed(encoder, CROPS), abs=1e-5)


def test_what_enters_a_node_can_be_changed(model: onnx.ModelProto) -> None:
    encoder = OnnxEncoder(model, SPEC)
    given = torch.from_numpy(run.tensors(CROPS, SPEC))
    before = encoder(given)
    encoder.change = lambda node, x: [x[0] * 0, *x[1:]] if node.op_type == "Gemm" else x
    after = encoder(given)
    assert torch.equal(after[0], after[1])
    assert not torch.equal(before[0], before[1])


def test_an_operator_that_cannot_be_trained_is_named(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Erf"
    with pytest.raises(BundleError, match="operators Erf cannot be trained"):
        OnnxEncoder(model, SPEC)


WEIGHTS = {
    "w": np.random.default_rng(4).normal(0, 0.2, (12, 3, 3, 3)).astype("f4"),
    "a column": np.array([0, 0.3, 0.5], "f4"),
    "a channel": np.array([0, 0.3, 0.5], "f4").reshape(3, 1, 1),
    "one": np.array(1, "f4"),
    "two": np.array(2, "f4"),
    "shape": np.array([0, -1], "i8"),
}


def encoder_with(operator: str, *inputs: str, side: int = 12, **attributes: Any) -> OnnxEncoder:
    """An encoder of one operator, its output flattened."""
    node = helper.make_node(operator, ["input", *inputs], ["seen"], "it", **attributes)
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, side, side])
    end = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", "dim"])
    nodes = [node, helper.make_node("Flatten", ["seen"], ["embedding"], "last")]
    held = [numpy_helper.from_array(WEIGHTS[name], name) for name in inputs if name]
    opset = [helper.make_opsetid("", normal_form.OPSET)]
    made = helper.make_graph(nodes, "one", [entry], [end], held)
    model = helper.make_model(made, opset_imports=opset, ir_version=8)
    return OnnxEncoder(model, InputSpec((side, side), "rgb", 127.5, 128.0))


@pytest.mark.parametrize(
    ("operator", "inputs", "plain", "other"),
    [
        ("Conv", ["w"], {"auto_pad": "NOTSET"}, {"auto_pad": "SAME_UPPER"}),
        ("Conv", ["w"], {"auto_pad": "VALID"}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("MaxPool", [], {"ceil_mode": 0}, {"ceil_mode": 1}),
        ("MaxPool", [], {"dilations": [1, 1]}, {"dilations": [2, 2]}),
        ("MaxPool", [], {"pads": [0, 0, 0, 0]}, {"pads": [0, 0, 1, 1]}),
        ("AveragePool", [], {"count_include_pad": 1}, {"ceil_mode": 1}),
        ("Flatten", [], {"axis": 1}, {"axis": 0}),
    ],
)  # fmt: skip
def test_what_an_operator_here_would_ignore_is_refused(
    operator: str, inputs: list[str], plain: dict[str, Any], other: dict[str, Any]
) -> None:
    kernel: dict[str, Any] = {}
    if operator.endswith("Pool"):
        kernel = {"kernel_shape": [3, 3], "strides": [2, 2]}
    encoder_with(operator, *inputs, **kernel, **plain)
    with pytest.raises(BundleError, match=rf"node it: {next(iter(other))} = .* cannot be trained"):
        encoder_with(operator, *inputs, **kernel, **other)


@pytest.mark.parametrize(
    "how",
    [
        {"dilations": [2, 2]}, {"pads": [1, 1, 1, 1], "strides": [2, 2]},
        {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    ],
)  # fmt: skip
def test_what_it_does_follow_is_proved_against_onnx_runtime(how: dict[str, Any]) -> None:
    encoder_with("Conv", "w", **how)


def test_of_many_inputs_none_is_ignored() -> None:
    encoder_with("Max", "one", "two")


def test_an_input_left_out_is_refused() -> None:
    encoder_with("Clip", "one")
    with pytest.raises(BundleError, match="node it: an input left out"):
        encoder_with("Clip", "", "one")


def test_what_no_list_foresees_is_found_by_running_it() -> None:
    encoder_with("PRelu", "a channel", side=3)
    # A slope a column of the image, which PyTorch takes for a channel's.
    with pytest.raises(BundleError, match=r"would differ from its file by 0\.[1-9]"):
        encoder_with("PRelu", "a column", side=3)
    with pytest.raises(BundleError, match="cannot be run for training"):
        encoder_with("Reshape", "shape")
