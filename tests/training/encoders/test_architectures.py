"""The encoders: the literature's shapes, seeds, centring, and what their EER is."""

import numpy as np
import pytest
import torch
from torch import nn

from ostiary.edge.errors import ConfigError
from ostiary.training.encoders.architectures import ARCHITECTURES, Encoder, Stack, build, centre
from ostiary.training.judge.embed import eer


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
    encoder = build("small-28", 0)
    assert isinstance(encoder, Stack)
    layers = encoder.layers
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


def alike(count: int, name: str) -> torch.Tensor:
    """Smooth images that share most of what they show, as aligned faces do."""
    _, channels, *sides = ARCHITECTURES[name].spec.shape
    rng = np.random.default_rng(2)
    coarse = 0.3 + rng.normal(0, 0.5, (1, channels, 5, 5)) + rng.normal(0, 0.2, (count, 1, 5, 5))
    return nn.functional.interpolate(torch.from_numpy(coarse).float(), sides, mode="bicubic")


def mean_cosine(encoder: Encoder, given: torch.Tensor, training: bool) -> float:
    """Of two different images, on average; a training batch must leave no trace."""
    held = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        made = encoder.train(training)(given)
    encoder.load_state_dict(held)
    n = len(made)
    return float(((made @ made.T).sum() - n) / (n * (n - 1)))


@pytest.mark.parametrize("name", ["small-28", "facenet-128"])
def test_a_centred_encoder_spreads_what_lay_at_one_point(name: str) -> None:
    encoder, given = build(name, 0), alike(40, name)
    assert mean_cosine(encoder, given, training=False) > 0.9
    centre(encoder.eval(), given)
    assert not encoder.training
    for training in (True, False):
        assert abs(mean_cosine(encoder, given, training)) < 0.1
    again = build(name, 0)
    centre(again, given)
    assert again.training
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} <= {0.1}


def test_an_encoder_that_ends_in_a_batch_norm_needs_no_centring() -> None:
    normed = build("mobilefacenet-relu", 0)
    given = alike(12, "mobilefacenet-relu")
    assert abs(mean_cosine(normed, given, training=True)) < 0.1
    held = {name: value.clone() for name, value in normed.state_dict().items()}
    centre(normed, given)
    assert all(torch.equal(value, held[name]) for name, value in normed.state_dict().items())


def test_an_unknown_architecture_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no architecture 'vgg'.*small-28"):
        build("vgg", 0)


def test_the_eer_is_where_both_rates_are_equal() -> None:
    genuine = np.array([0.9, 0.8, 0.7, 0.3], np.float32)
    impostor = np.array([0.1, 0.2, 0.4, 0.75], np.float32)
    assert eer(genuine, impostor) == 0.25
    assert eer(np.ones(3, np.float32), np.zeros(5, np.float32)) == 0
    rng = np.random.default_rng(0)
    genuine, impostor = (rng.normal(m, 1, 4000).astype(np.float32) for m in (1, -1))
    # Two normal distributions two deviations apart cross at half way: 1 - Phi(1).
    assert eer(genuine, impostor) == pytest.approx(0.1587, abs=0.01)
