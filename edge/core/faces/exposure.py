"""Shows a model a dark, veiled or noisy picture as it would look in ordinary light.

An ordinary picture passes through as it is, bit for bit: the curves behind tau were counted on such
pictures. The limits below lie outside of what ordinary photographs show.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ostiary.edge.core.types import Image

NARROW, DIM, LEAST = 72.0, 108.0, 4.0
"""A picture is stretched if its range of grey values is below NARROW or its highest one below DIM;
if its range is below LEAST, nothing is left to stretch."""
COLOURED = 1.3 * DIM
"""A dim picture one of whose colours reaches this value is lit in colour: stretched, that colour
would be clipped."""
STRETCHED, MIDDLE = 160.0, 120.0
"""The range that a stretched picture is given, and the middle of that range."""
NOISY = 0.015
"""The noise, in ranges of grey values, from which a picture is smoothed."""
NOISY_POINTS = 0.04
"""The same for the crop in which points are looked for: it is so small that a beard is noise."""
SMOOTHING_PX = 1.0
TAILS = 0.01
"""The share of pixels at each end that does not count: a glint is not light on a face."""
_CURVATURE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Zero on edges and slopes, so that noise is left (Immerkaer 1996); 6 times the noise."""
_MEDIAN_OF_NORMAL = 0.6745


@dataclass(frozen=True, slots=True)
class Exposure:
    """The grey values, 0..255, between which nearly all pixels lie; and the noise in such ranges.
    A picture of one colour has a noise of infinity."""

    low: float
    high: float
    noise: float

    @property
    def spread(self) -> float:
        """The range of the grey values."""
        return self.high - self.low


def exposure_of(image: Image) -> Exposure:
    """The exposure of a BGR image, or of its grey values (height, width)."""
    grey = image
    if image.ndim == 3:
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    low, high = _quantiles(grey, TAILS, 1 - TAILS)
    curved = cv2.convertScaleAbs(cv2.filter2D(grey, cv2.CV_16S, _CURVATURE))
    (median,) = _quantiles(np.asarray(curved, np.uint8), 0.5)
    noise = median / 6 / _MEDIAN_OF_NORMAL
    return Exposure(low, high, noise / (high - low) if high > low else float("inf"))


def cleared(image: Image, noisy: float = NOISY) -> Image:
    """A BGR image, stretched to an ordinary range of values if its own is narrow or dim, and
    smoothed if its noise is above `noisy`; otherwise the very same image."""
    found = exposure_of(image)
    if found.spread < LEAST:
        return image
    shown = image
    if found.spread < NARROW or (found.high < DIM and _brightest(image) < COLOURED):
        shown = np.asarray(cv2.LUT(shown, _stretching(found.low, found.high)), np.uint8)
    if found.noise > noisy:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), SMOOTHING_PX), np.uint8)
    return shown


def _brightest(image: Image) -> float:
    """The value below which nearly all pixels lie in all three colours."""
    return max(_quantiles(np.asarray(plane, np.uint8), 1 - TAILS)[0] for plane in cv2.split(image))


def _stretching(low: float, high: float) -> Image:
    """The new value of each of the 256 pixel values."""
    values = (np.arange(256) - (low + high) / 2) * STRETCHED / (high - low) + MIDDLE
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _quantiles(values: Image, *shares: float) -> tuple[float, ...]:
    """The values (height, width) uint8 below which these shares lie."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().cumsum()
    return tuple(float(at) for at in np.searchsorted(counts, np.array(shares) * values.size))
