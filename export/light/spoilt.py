"""Spoils a photo in graded steps, as poor light, a poor lens or a poor camera would.

Light is computed in linear light, with the noise of a small sensor, and rounded to 8 bits
afterwards: a dark picture that is merely scaled keeps details that no camera would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Face, Image

FULL_WELL, READ_NOISE = 6000.0, 4.0
"""Electrons that one pixel of a small sensor holds, and those of its read noise."""
Light = NDArray[np.float32]
Spoil = Callable[[Image, Face, float, np.random.Generator], Image]


@dataclass(frozen=True, slots=True)
class Spoiling:
    """One way to spoil a photo; `grades` from mild to hopeless, in `unit`."""

    name: str
    unit: str
    grades: tuple[float, ...]
    spoil: Spoil


def to_light(image: Image) -> Light:
    """The linear light, 0 to 1, of sRGB pixels."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(cv2.LUT(image, table.astype(np.float32)), np.float32)


def to_pixels(light: Light) -> Image:
    """sRGB pixels of linear light; what is above 1 is clipped."""
    clipped = np.clip(light, 0, 1)
    value = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), np.uint8)


def seen(light: Light, rng: np.random.Generator, gain: float = 1.0) -> Image:
    """What a sensor makes of light: shot and read noise, then the gain, then 8 bits."""
    electrons = np.clip(light, 0, None) * FULL_WELL
    noise = rng.standard_normal(light.shape, np.float32) * np.sqrt(electrons + READ_NOISE**2)
    return to_pixels(np.asarray((electrons + noise) / FULL_WELL * gain, np.float32))


def _dark(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    return seen(to_light(image) * np.float32(2**-stops), rng)


def _night(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    return seen(to_light(image) * np.float32(2**-stops), rng, gain=2**stops)


def _bright(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    return seen(to_light(image) * np.float32(2**stops), rng)


def _back_light(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    """The face darker by `stops`, the surroundings brighter by one."""
    inside = _over_the_face(image, face)[..., None]
    return seen(to_light(image) * (2.0 * (1 - inside) + 2**-stops * inside), rng)


def _side_light(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    """One side of the face darker by `stops` than the other."""
    x1, x2 = float(face.box_px[0]), float(face.box_px[2])
    across = (np.arange(image.shape[1]) - (x1 + x2) / 2) / max((x2 - x1) / 16, 1)
    dark = 1 / (1 + np.exp(-np.clip(across, -50, 50)))
    return seen(to_light(image) * (2 ** (-stops * dark)).astype(np.float32)[None, :, None], rng)


def _over_the_face(image: Image, face: Face) -> Light:
    """1 on the face, 0 around it, with a soft edge."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in face.box_px)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    far = np.hypot(
        (columns - (x1 + x2) / 2) / max(0.6 * (x2 - x1), 1),
        (rows - (y1 + y2) / 2) / max(0.65 * (y2 - y1), 1),
    )
    return np.asarray(np.clip((1.2 - far) / 0.4, 0, 1), np.float32)


def _haze(image: Image, face: Face, share: float, rng: np.random.Generator) -> Image:
    """All but `share` of the contrast is veiled by a light grey."""
    return np.asarray(np.rint(image * share + 190.0 * (1 - share)), np.uint8)


def _flat(image: Image, face: Face, share: float, rng: np.random.Generator) -> Image:
    """`share` of the contrast about the picture's mean."""
    mean = image.mean((0, 1), keepdims=True)
    return np.asarray(np.rint(mean + (image - mean) * share), np.uint8)


def _grey(image: Image, face: Face, share: float, rng: np.random.Generator) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    return np.asarray(np.rint(image * share + grey * (1 - share)), np.uint8)


def _warm(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    """Blue darker by `stops`, green by half of that: an old lamp, then a sodium lamp."""
    return seen(to_light(image) * np.array([2**-stops, 2 ** (-stops / 2), 1], np.float32), rng)


def _cold(image: Image, face: Face, stops: float, rng: np.random.Generator) -> Image:
    """Red darker by `stops`, green by half of that: dusk, then a blue lamp."""
    return seen(to_light(image) * np.array([1, 2 ** (-stops / 2), 2**-stops], np.float32), rng)


def _blur(image: Image, face: Face, share: float, rng: np.random.Generator) -> Image:
    """Out of focus: a Gaussian of `share` of the distance between the eyes."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(share * _eyes(face), 0.1)), np.uint8)


def _motion(image: Image, face: Face, share: float, rng: np.random.Generator) -> Image:
    """Moved sideways by `share` of the distance between the eyes while the shutter was open."""
    length = max(round(share * _eyes(face)), 1)
    return np.asarray(cv2.blur(image, (length, 1)), np.uint8)


def _small(image: Image, face: Face, eyes_px: float, rng: np.random.Generator) -> Image:
    """A picture so small that the eyes are `eyes_px` apart."""
    scale = eyes_px / _eyes(face)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: Image, face: Face, quality: float, rng: np.random.Generator) -> Image:
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _eyes(face: Face) -> float:
    return max(float(np.linalg.norm(face.points_px[1] - face.points_px[0])), 1.0)


AS_IT_IS = Spoiling("as it is", "", (0.0,), lambda image, face, grade, rng: image)
KINDS = (
    AS_IT_IS,
    Spoiling("dark", "stops", (1, 2, 3, 4, 5, 6), _dark),
    Spoiling("night, gain up", "stops", (2, 4, 5, 6, 7, 8), _night),
    Spoiling("bright", "stops", (0.5, 1, 1.5, 2, 3), _bright),
    Spoiling("back light", "stops", (1, 2, 3, 4, 5), _back_light),
    Spoiling("side light", "stops", (1, 2, 4, 6), _side_light),
    Spoiling("haze", "of contrast", (0.5, 0.25, 0.12, 0.06), _haze),
    Spoiling("flat", "of contrast", (0.5, 0.25, 0.12, 0.06, 0.03), _flat),
    Spoiling("grey", "of colour", (0.5, 0), _grey),
    Spoiling("warm light", "stops", (1, 2, 4), _warm),
    Spoiling("cold light", "stops", (1, 2, 4), _cold),
    Spoiling("blur", "eye distances", (0.03, 0.06, 0.09, 0.12, 0.16), _blur),
    Spoiling("motion", "eye distances", (0.1, 0.2, 0.3, 0.5), _motion),
    Spoiling("small", "px of eyes", (24, 16, 12, 9, 7), _small),
    Spoiling("JPEG", "quality", (50, 20, 10, 5), _jpeg),
)
"""Every way, with its grades."""
FURTHER = "further photos"
"""Photos as they are that are not spoilt too."""
