"""Crop to tensor, and encoder output to embedding; device, export and training all use this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ostiary.edge.core.types import Floats, Image

NEARLY_TWICE = 1.9
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input of a model: pixels as (value - mean) / scale, in NCHW float32.

    `size_px` is (height, width); `channels` is rgb, bgr or gray; pixel values are 0..255.
    """

    size_px: tuple[int, int]
    channels: str
    mean: float
    scale: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, channels, height, width) of one input."""
        return (1, CHANNELS[self.channels], *self.size_px)


def to_tensor(image: Image, spec: InputSpec) -> Floats:
    """One BGR image as a (1, channels, height, width) float32 tensor; resized if necessary."""
    pixels = resized(image, spec)
    if spec.channels == "gray":
        planes: Sequence[cv2.typing.MatLike] = [cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)]
    else:
        planes = cv2.split(pixels)[:: -1 if spec.channels == "rgb" else 1]
    tensor = np.empty(spec.shape, np.float32)
    table = _table(spec.mean, spec.scale)
    for plane, target in zip(planes, tensor[0], strict=True):
        cv2.LUT(plane, table, target)
    return tensor


def resized(image: Image, spec: InputSpec) -> Image:
    """The image in the size of a model's input; the very same image if it has that size."""
    height, width = spec.size_px
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def averaged(image: Image, spec: InputSpec) -> Image:
    """The image in the size of a model's input; a smaller one has the mean of the pixels it stands
    for.

    `resized` leaves pixels out when it shrinks, and with them the print dots and screen lines that
    give a held-up picture away.
    """
    height, width = spec.size_px
    if image.shape[0] < height or image.shape[1] < width:
        return resized(image, spec)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def halved(image: Image, size_px: tuple[int, int]) -> Image:
    """The image, halved as long as it has about twice the (height, width) of a model's input.

    A half averages the pixels; a larger step would leave some out, and what is small would vanish
    in the noise of the others.
    """
    height, width = size_px
    while image.shape[0] >= NEARLY_TWICE * height and image.shape[1] >= NEARLY_TWICE * width:
        image = np.asarray(cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2)), np.uint8)
    return image


@lru_cache(maxsize=16)
def _table(mean: float, scale: float) -> Floats:
    """(value - mean) / scale of every pixel value: a look-up beats arithmetic on each pixel."""
    return ((np.arange(256) - mean) / scale).astype(np.float32)


def to_embedding(raw: Floats) -> Floats:
    """The encoder's raw output (1, dim) or (dim,) as a unit-norm float32 (dim,) embedding.

    Raises ValueError if the output is zero or not finite, since it has no cosine.
    """
    vector = raw.reshape(-1).astype(np.float64)
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-9:
        raise ValueError(f"the encoder gave no direction: norm {norm}")
    return (vector / norm).astype(np.float32)


def log_odds(logits: Floats, chosen: int) -> float:
    """ln(p / (1 - p)) of one class's softmax probability p, from the logits (n,) of all classes.

    It is the class's logit less ln(sum(exp)) of the others: unlike p it does not round to 1.
    """
    others = np.delete(logits.astype(np.float64), chosen)
    highest = float(others.max())
    return float(logits[chosen]) - highest - math.log(float(np.exp(others - highest).sum()))
