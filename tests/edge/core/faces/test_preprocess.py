"""Tensors and embeddings against plain arithmetic."""

import numpy as np
import pytest

from ostiary.edge.core.faces.preprocess import (
    InputSpec,
    halved,
    softmax,
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


def test_softmax_sums_to_one_also_for_large_logits() -> None:
    got = softmax(np.array([1000.0, 1000.0, 0.0], np.float32))
    assert got.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_a_large_picture_is_halved_so_that_every_pixel_counts() -> None:
    noise = np.random.default_rng(0).normal(128, 40, (960, 1280, 3))
    picture = np.asarray(np.clip(noise, 0, 255), np.uint8)
    small = halved(picture, (240, 320))
    assert small.shape == (240, 320, 3)
    assert small.std() < 0.35 * picture.std(), "an average of 16 pixels has a quarter of the noise"


def test_a_picture_of_less_than_about_twice_the_size_is_left_as_it_is() -> None:
    picture = np.zeros((450, 640, 3), np.uint8)
    assert halved(picture, (240, 320)) is picture
