"""The covered head against a plain loop, and what it must not depend on."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from ostiary.edge.core.faces.covered import (
    SIDE,
    Convolution,
    CoveredHead,
    Dense,
    in_light,
    is_bare,
    seen,
)
from ostiary.edge.core.types import Floats, Image


def made(seed: int = 0) -> CoveredHead:
    """Small layers by chance: a convolution of 5, one of 3, and two dense ones."""
    rng = np.random.default_rng(seed)

    def values(*shape: int) -> Floats:
        return rng.normal(0, 0.2, shape).astype(np.float32)

    side = SIDE // 4
    return CoveredHead(
        [Convolution(values(4, 3, 5, 5), values(4)), Convolution(values(6, 4, 3, 3), values(6))],
        [Dense(values(5, 6 * side * side), values(5)), Dense(values(1, 5), values(1))],
    )


def picture(side: int = 112) -> Image:
    return np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype(np.uint8)


def slow_convolution(given: Floats, layer: Convolution) -> Floats:
    out, taken, k, _ = layer.weights.shape
    side = given.shape[0] // 2
    found = np.zeros((side, side, out))
    for y in range(side):
        for x in range(side):
            for dy in range(k):
                for dx in range(k):
                    row, column = 2 * y + dy - k // 2, 2 * x + dx - k // 2
                    if 0 <= row < given.shape[0] and 0 <= column < given.shape[1]:
                        for i in range(taken):
                            found[y, x] += layer.weights[:, i, dy, dx] * given[row, column, i]
    return np.maximum(found + layer.bias, 0).astype(np.float32)


def test_the_head_computes_what_a_plain_loop_does() -> None:
    head, crop = made(), picture()
    found = in_light(seen(crop)[None])[0]
    for layer in head.convolutions:
        found = slow_convolution(found, layer)
    # Channel by channel, as the dense layer was trained.
    flat = np.concatenate([found[..., i].ravel() for i in range(found.shape[2])])
    hidden = np.maximum(head.dense[0].weights @ flat + head.dense[0].bias, 0)
    slow = float((head.dense[1].weights @ hidden + head.dense[1].bias)[0])
    assert head.coveredness(crop) == pytest.approx(slow, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("side", [64, 96, 160, 224])
def test_crops_of_any_size_are_seen_alike(side: int) -> None:
    soft = np.asarray(cv2.GaussianBlur(picture(), (0, 0), 6), np.uint8)
    other = np.asarray(cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    assert made().coveredness(other) == pytest.approx(made().coveredness(soft), abs=0.05)


def test_less_light_and_light_of_another_colour_change_little() -> None:
    bright = np.asarray(cv2.GaussianBlur(picture(), (0, 0), 6), np.float32)
    shown = in_light(seen(np.round(bright).astype(np.uint8))[None])
    for factors in ([0.5, 0.5, 0.5], [0.6, 0.9, 0.7]):
        dim = np.round(bright * factors).astype(np.uint8)
        assert np.abs(in_light(seen(dim)[None]) - shown).max() < 0.35 * np.abs(shown).max()


def test_a_flat_crop_is_no_division_by_nothing() -> None:
    assert math.isfinite(made().coveredness(np.zeros((112, 112, 3), np.uint8)))


def test_a_face_that_was_not_asked_is_taken_and_nan_is_not() -> None:
    assert [is_bare(value) for value in (None, -0.1, -5.0)] == [True] * 3
    assert [is_bare(value) for value in (0.0, 1.0, math.nan)] == [False] * 3
