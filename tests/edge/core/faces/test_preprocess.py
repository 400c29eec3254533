"""Tensors and embeddings against plain arithmetic."""

import numpy as np
import pytest

from ostiary.edge.core.faces.preprocess import (
    InputSpec,
    averaged,
    halved,
    log_odds,
    resized,
    to_embedding,
    to_tensor,
)


@pytest.mark.parametrize("channels", ["rgb", "bgr", "gray"])
def test_tensor_is_value_minus_mean_over_scale(channels: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    spec = InputSpec((24, 32), channels, 127.5, 128.0)
    got = to_tensor(image, spec)
    assert got.shape == spec.shape
    assert got.dtype == np.float32
    if channels == "gray":
        planes = np.rint(image @ [0.114, 0.587, 0.299])[None]
        assert np.abs(got[0] * 128 + 127.5 - planes).max() <= 1
        return
    order = image[..., ::-1] if channels == "rgb" else image
    assert np.allclose(got[0], (order.transpose(2, 0, 1) - 127.5) / 128, atol=1e-6)


def test_tensor_takes_any_size_and_returns_its_own_memory() -> None:
    spec = InputSpec((28, 28), "gray", 0.0, 255.0)
    first = to_tensor(np.full((100, 50, 3), 255, np.uint8), spec)
    second = to_tensor(np.zeros((10, 90, 3), np.uint8), spec)
    assert first.shape == (1, 1, 28, 28)
    assert (first == 1).all()
    assert (second == 0).all()


def test_embedding_is_of_unit_length() -> None:
    got = to_embedding(np.array([[3.0, 4.0]], np.float32))
    assert got.dtype == np.float32
    assert got.tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("raw", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_an_output_without_direction_is_refused(raw: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        to_embedding(np.array(raw, np.float32))


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_log_odds_are_those_of_the_softmax_probability(chosen: int) -> None:
    logits = np.array([0.5, -1.0, 2.0], np.float32)
    p = np.exp(logits[chosen]) / np.exp(logits).sum()
    assert log_odds(logits, chosen) == pytest.approx(np.log(p / (1 - p)), abs=1e-6)


def test_log_odds_of_large_logits_are_exact_where_the_probability_rounds() -> None:
    logits = np.array([900.0, -900.0, 850.0], np.float32)
    assert log_odds(logits, 0) == pytest.approx(50.0)
    assert log_odds(logits, 1) == pytest.approx(-1800.0)


def test_a_shrunk_crop_has_the_means_of_its_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (160, 240, 3)).astype(np.uint8)
    got = averaged(image, InputSpec((80, 80), "bgr", 0.0, 1.0))
    means = image.reshape(80, 2, 80, 3, 3).mean((1, 3))
    assert np.abs(got - means).max() <= 1


def test_a_crop_that_grows_is_interpolated_as_any_other() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    spec = InputSpec((80, 80), "bgr", 0.0, 1.0)
    assert (averaged(image, spec) == resized(image, spec)).all()


def test_a_large_picture_is_halved_so_that_every_pixel_counts() -> None:
    noise = np.random.default_rng(0).normal(128, 40, (960, 1280, 3))
    picture = np.asarray(np.clip(noise, 0, 255), np.uint8)
    small = halved(picture, (240, 320))
    assert small.shape == (240, 320, 3)
    assert small.std() < 0.35 * picture.std(), "an average of 16 pixels has a quarter of the noise"


def test_a_picture_of_less_than_about_twice_the_size_is_left_as_it_is() -> None:
    picture = np.zeros((450, 640, 3), np.uint8)
    assert halved(picture, (240, 320)) is picture
