"""Whether a face is covered: a mask, a scarf, dark glasses or a hand before mouth, nose or eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ostiary.edge.core.types import Floats, Image

SIDE = 56
"""The side in pixels of what the head looks at: less detail than any encoder needs, and enough to
see what lies on a face."""
STRIDE = 2
LEAST_LIGHT, LEAST_SPREAD = 6.0, 0.15
"""Added to the light and to its spread, so that the noise of a dark or even crop stays small."""


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Filters `weights` (out, in, k, k) float32 with odd k, and `bias` (out,)."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """`weights` (out, in) float32 and `bias` (out,)."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CoveredHead:
    """A small network on the aligned crop; it knows nothing of the encoder.

    Its convolutions halve the picture one after another, then dense layers judge what they found:
    3 million products in all, so that a crop costs less than a millisecond.
    """

    convolutions: Sequence[Convolution]
    dense: Sequence[Dense]

    def coveredness(self, aligned: Image) -> float:
        """How covered the face in an aligned crop (h, w, 3) of any size looks: 0 or more is
        covered.

        The unit is the logit's.
        """
        found = in_light(seen(aligned)[None])[0]
        for layer in self.convolutions:
            found = np.maximum(_convolved(found, layer), 0)
        flat = found.transpose(2, 0, 1).reshape(-1)
        *inner, last = self.dense
        for dense in inner:
            flat = np.maximum(dense.weights @ flat + dense.bias, 0)
        return float((last.weights @ flat + last.bias)[0])


def seen(aligned: Image) -> Image:
    """What the head looks at: the crop with `SIDE` pixels a side."""
    return np.asarray(cv2.resize(aligned, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def in_light(pictures: Image) -> Floats:
    """Pictures (n, h, w, 3) as factors of light, each channel about its mean.

    So neither the strength of the light nor its colour counts, nor how dark the skin is, beyond
    what noise does: only differences within the picture.
    """
    light = np.log(pictures.astype(np.float32) + LEAST_LIGHT)
    light = light - light.mean((1, 2), keepdims=True)
    return np.asarray(light / (light.std((1, 2, 3), keepdims=True) + LEAST_SPREAD), np.float32)


def is_bare(covered: float | None) -> bool:
    """Whether a face is bare enough to be compared; None, if nothing was asked, is enough.

    Written so that NaN is refused.
    """
    return covered is None or covered < 0


def _convolved(picture: Floats, layer: Convolution) -> Floats:
    """A picture (h, w, in) filtered at every second pixel, (h / 2, w / 2, out)."""
    out, _, k, _ = layer.weights.shape
    padded = np.pad(picture, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (0, 1))
    windows = windows[::STRIDE, ::STRIDE]
    height, width = windows.shape[:2]
    rows = windows.reshape(height * width, -1)
    found = rows @ layer.weights.reshape(out, -1).T + layer.bias
    return np.asarray(found.reshape(height, width, out), np.float32)
