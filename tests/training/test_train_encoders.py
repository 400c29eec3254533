"""The encoders: the literature's shapes, seeds, one shared branch, and ONNX there and back."""

import numpy as np
import onnx
import pytest
import torch

from edge.core.preprocess import InputSpec
from edge.errors import BundleError, ConfigError
from export import graph, running
from export.sources.load import load_source
from export.sources.spec import read_spec
from training import save
from training.encoders import ARCHITECTURES, build, centre
from training.evaluate import eer, embed
from training.onnx_encoder import OnnxEncoder
from training.siamese import Siamese

CROPS = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), np.uint8)
SIZES = {"small-28": (1, 28, 28, 128), "facenet-128": (3, 112, 112, 128)}


def images(count: int, name: str = "small-28") -> torch.Tensor:
    shape = ARCHITECTURES[name].spec.shape[1:]
    return torch.from_numpy(np.random.default_rng(1).normal(0, 1, (count, *shape))).float()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_encoder_gives_what_it_says_and_of_unit_length(name: str) -> None:
    encoder = build(name, 0).eval()
    made = encoder(images(2, name))
    assert made.shape == (2, ARCHITECTURES[name].dim)
    assert made.norm(dim=1).detach().numpy() == pytest.approx(1, abs=1e-5)


def test_the_small_network_is_that_of_the_literature() -> None:
    layers = build("small-28", 0).layers
    shapes, given = [], images(1)
    for layer in layers:
        given = layer(given)
        shapes.append((type(layer).__name__, tuple(given.shape[1:])))
    assert shapes == [
        ("Conv2d", (8, 13, 13)), ("ReLU", (8, 13, 13)), ("MaxPool2d", (8, 6, 6)),
        ("Conv2d", (16, 2, 2)), ("ReLU", (16, 2, 2)), ("Flatten", (64,)), ("Linear", (128,)),
    ]  # fmt: skip
    convs = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convs] == [
        (8, (4, 4), (2, 2)),
        (16, (4, 4), (2, 2)),
    ]


def test_int8_friendly_means_that_no_prelu_is_left() -> None:
    kinds = {
        name: {type(m).__name__ for m in build(name, 0).modules()}
        for name in ("mobilefacenet-prelu", "mobilefacenet-relu")
    }
    assert "PReLU" in kinds["mobilefacenet-prelu"]
    assert "PReLU" not in kinds["mobilefacenet-relu"]
    assert kinds["mobilefacenet-prelu"] - {"PReLU"} == kinds["mobilefacenet-relu"] - {"ReLU"}


def test_the_seed_decides_the_weights_and_torchs_own_chance_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = build("small-28", 1), build("small-28", 1), build("small-28", 2)
    assert torch.equal(torch.rand(3), expected)
    given = images(2)
    assert torch.equal(one(given), same(given))
    assert not torch.equal(one(given), other(given))


def test_a_centred_encoder_spreads_what_lay_at_one_point() -> None:
    encoder, given = build("small-28", 0), images(40) * 0.2 + 1
    before = encoder(given)
    centre(encoder, given)
    after = encoder(given)
    assert encoder.training
    assert encoder.layers(given).mean(0).abs().max() < 1e-5
    assert (before @ before.T).mean() > 0.9
    assert (after @ after.T).mean() < 0.1
    normed = build("mobilefacenet-relu", 0)
    held = {name: value.clone() for name, value in normed.state_dict().items()}
    centre(normed, images(2, "mobilefacenet-relu"))
    assert all(torch.equal(value, held[name]) for name, value in normed.state_dict().items())


def test_an_unknown_architecture_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no architecture 'vgg'.*small-28"):
        build("vgg", 0)


@pytest.mark.parametrize("inputs", [2, 3])
def test_a_siamese_network_has_one_branch_that_every_input_shares(inputs: int) -> None:
    encoder = build("small-28", 0)
    siamese = Siamese(encoder)
    assert sum(p.numel() for p in siamese.parameters()) == sum(
        p.numel() for p in encoder.parameters()
    )
    given = images(2 * inputs).split(2)
    made = siamese(*given)
    for one, its in zip(given, made, strict=True):
        assert torch.allclose(its, encoder(one), atol=1e-6)
    # A step that only the first input asks for moves the others' embeddings as well.
    before = [each.detach().clone() for each in made]
    made[0].sum().backward()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight -= weight.grad
    assert all(not torch.allclose(a, b) for a, b in zip(before, siamese(*given), strict=True))


@pytest.mark.parametrize("name", ["small-28", "mobilefacenet-prelu"])
def test_the_saved_encoder_is_what_was_trained_and_keeps_its_id_through_export(
    name: str, tmp_path
) -> None:
    encoder = build(name, 3)
    path = save.write(encoder, tmp_path, 'ours "alone"')
    raw = (tmp_path / save.ENCODER).read_bytes()
    assert running.embed(raw, CROPS, encoder.spec) == pytest.approx(embed(encoder, CROPS), abs=1e-5)
    spec = read_spec(path)
    assert spec.licence == 'ours "alone"'
    again = graph.normalise(load_source(spec, tmp_path), encoder.spec)
    assert graph.to_bytes(again) == raw
    assert encoder.training
    assert not any(n.op_type == "BatchNormalization" for n in onnx.load_from_string(raw).graph.node)


def test_an_onnx_encoder_computes_the_same_learns_and_is_written_back(tmp_path) -> None:
    source = build("mobilefacenet-prelu", 0)
    model = save.to_onnx(source)
    encoder = OnnxEncoder(model, source.spec)
    assert encoder.dim == 192
    assert embed(encoder, CROPS) == pytest.approx(embed(source, CROPS), abs=1e-5)
    assert graph.to_bytes(encoder.to_onnx()) == graph.to_bytes(model)
    optimiser = torch.optim.SGD(encoder.parameters(), 0.1)
    given = torch.from_numpy(running.tensors(CROPS, source.spec))
    encoder(given)[0, 0].backward()
    assert all(p.grad is not None for p in encoder.parameters())
    optimiser.step()
    learned = graph.to_bytes(encoder.to_onnx())
    assert learned != graph.to_bytes(model)
    assert running.embed(learned, CROPS, source.spec) == pytest.approx(
        embed(encoder, CROPS), abs=1e-5
    )


def test_what_enters_a_node_can_be_changed() -> None:
    encoder = OnnxEncoder(save.to_onnx(build("small-28", 0)), ARCHITECTURES["small-28"].spec)
    before = encoder(images(2))
    encoder.change = lambda node, x: [x[0] * 0, *x[1:]] if node.op_type == "Gemm" else x
    after = encoder(images(2))
    assert torch.equal(after[0], after[1])
    assert not torch.equal(before[0], before[1])


def test_an_operator_that_can_not_be_trained_is_named() -> None:
    model = save.to_onnx(build("small-28", 0))
    model.graph.node[1].op_type = "Erf"
    with pytest.raises(BundleError, match="operators Erf can not be trained"):
        OnnxEncoder(model, InputSpec((28, 28), "gray", 0, 1))


def test_the_eer_is_where_both_rates_are_equal() -> None:
    genuine = np.array([0.9, 0.8, 0.7, 0.3], np.float32)
    impostor = np.array([0.1, 0.2, 0.4, 0.75], np.float32)
    assert eer(genuine, impostor) == 0.25
    assert eer(np.ones(3, np.float32), np.zeros(5, np.float32)) == 0
    rng = np.random.default_rng(0)
    genuine, impostor = (rng.normal(m, 1, 4000).astype(np.float32) for m in (1, -1))
    # Two normal distributions two deviations apart cross at half way: 1 - Phi(1).
    assert eer(genuine, impostor) == pytest.approx(0.1587, abs=0.01)
