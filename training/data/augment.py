"""Simulates a door's camera on aligned crops: dark, noisy, grey, blurred or partly covered."""

from __future__ import annotations

from typing import Annotated

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.random import Generator

from ostiary.edge.core.types import Floats, Image

Chance = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Light = Annotated[float, Meta(gt=0, le=1)]
Quality = Annotated[int, Meta(ge=1, le=100)]

WHITE = 255.0
SKIN_IN_INFRARED = np.array([[0.05, 0.2, 0.75]], np.float32)
"""Weights of blue, green and red: for a camera at 850 nm skin is as bright as it is in red."""
EYES = (0.40, 0.52)
"""Top and bottom of the eyes, as shares of an aligned face's height."""
MASK = np.array([(0.14, 0.6), (0.5, 0.53), (0.86, 0.6), (0.8, 0.92), (0.5, 1.0), (0.2, 0.92)])
"""Corners of a mask over nose, mouth and chin, as shares of width and height."""


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Chance and strength of each change. A chance is 0 to 1; the field below it is the greatest
    strength, and each strength is drawn evenly up to it."""

    mirror: Chance = 0.0

    jitter: Chance = 0.0
    shift: Share = 0.03
    """The share of the side, in both directions; 0.03 is 3 px of 112."""
    turn_deg: Annotated[float, Meta(ge=0, le=45)] = 5.0
    zoom: Annotated[float, Meta(ge=0, le=0.5)] = 0.05

    occlusion: Chance = 0.0
    """A mask, a bar over the eyes or a rectangle, of one colour."""
    covered: Share = 0.35
    """The longest side of the rectangle, as a share of the picture's side."""

    motion: Chance = 0.0
    motion_length: Annotated[float, Meta(ge=0, le=0.5)] = 0.06
    """The share of the side, in any direction; 0.06 is 7 px of 112."""

    infrared: Chance = 0.0
    """A grey picture with its own tone curve, lit from beside the lens and so brightest in the
    middle."""
    curve: Annotated[float, Meta(ge=1, le=4)] = 1.4
    """The highest exponent; the lowest is 1 / curve."""
    falloff: Share = 0.6
    """How much darker a corner is than the middle."""

    low_light: Chance = 0.0
    light: tuple[Light, Light] = (0.1, 0.5)
    """The light, as a share of a good photo's."""
    gain: Annotated[float, Meta(ge=1, le=64)] = 4.0
    """The greatest amplification by the camera, which amplifies noise too."""
    electrons: Annotated[float, Meta(ge=10, le=1e6)] = 3000.0
    """Electrons in a white pixel of a good photo; the noise is the square root of their number."""
    read_noise: Annotated[float, Meta(ge=0, le=1000)] = 5.0
    """The standard deviation, in electrons."""

    noise: Chance = 0.0
    noise_levels: Annotated[float, Meta(ge=0, le=128)] = 10.0
    """The standard deviation, in levels of 255."""

    jpeg: Chance = 0.0
    quality: tuple[Quality, Quality] = (30, 90)


DOMAINS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "door": Augmentation(
        mirror=0.5,
        jitter=0.8,
        occlusion=0.1,
        motion=0.2,
        infrared=0.2,
        low_light=0.3,
        noise=0.2,
        jpeg=0.3,
    ),
    "night": Augmentation(
        infrared=1.0, low_light=1.0, light=(0.02, 0.08), gain=12.0, electrons=7000.0, read_noise=8.0
    ),
}
"""`door`: a little of everything, for training. `night`: every photo as by a camera with infrared
lamps in the dark, to measure the loss of accuracy and to fine-tune for it."""


def augment(image: Image, rng: Generator, how: Augmentation) -> Image:
    """The face (h, w, 3) uint8 BGR as a door's camera might show it: a new array of the same shape.

    The scene is changed first, then the effects of lens, sensor and JPEG are added. The result
    depends only on the picture, the generator's state and `how`.
    """
    made = image.copy()
    if rng.random() < how.mirror:
        made = np.ascontiguousarray(made[:, ::-1])
    if rng.random() < how.occlusion:
        made = _cover(made, rng, how)
    if rng.random() < how.jitter:
        made = _jitter(made, rng, how)
    if rng.random() < how.motion:
        made = _move(made, rng, how)
    if rng.random() < how.infrared:
        made = _infrared(made, rng, how)
    if rng.random() < how.low_light:
        made = _darken(made, rng, how)
    if rng.random() < how.noise:
        spread = rng.uniform(0, how.noise_levels)
        made = _pixels(made + spread * _normal(rng, made.shape))
    if made.ndim == 2:
        made = np.repeat(made[..., None], 3, axis=2)
    return _compress(made, rng, how) if rng.random() < how.jpeg else made


def _cover(image: Image, rng: Generator, how: Augmentation) -> Image:
    height, width = image.shape[:2]
    colour = [int(level) for level in rng.integers(0, 256, 3)]
    kind = rng.integers(3)
    if kind == 0:
        corners = np.rint(MASK * (width, height)).astype(np.int32)
        cv2.fillPoly(image, [corners], colour)
        return image
    if kind == 1:
        top, bottom = (round(at * height) for at in EYES)
        left, right = round(0.1 * width), round(0.9 * width)
    else:
        wide, high = rng.uniform(0.1, max(how.covered, 0.1), 2) * (width, height)
        left, top = (rng.uniform(0, 1, 2) * (width - wide, height - high)).astype(int)
        right, bottom = int(left + wide), int(top + high)
    image[top:bottom, left:right] = colour
    return image


def _jitter(image: Image, rng: Generator, how: Augmentation) -> Image:
    height, width = image.shape[:2]
    angle = rng.uniform(-how.turn_deg, how.turn_deg)
    scale = 1 + rng.uniform(-how.zoom, how.zoom)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += rng.uniform(-how.shift, how.shift, 2) * np.array([width, height])
    # Repeat the border outwards, since no camera shows black corners.
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _move(image: Image, rng: Generator, how: Augmentation) -> Image:
    """Motion blur: the mean along a line, as if the face moved while the shutter was open."""
    length = rng.uniform(0, how.motion_length) * image.shape[0]
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    places = np.rint(reach + np.linspace(-1, 1, 4 * reach + 1)[:, None] * step).astype(int)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    np.add.at(kernel, (places[:, 1], places[:, 0]), 1 / len(places))
    blurred = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.uint8)


def _infrared(image: Image, rng: Generator, how: Augmentation) -> Image:
    """The face in infrared light, one channel (h, w)."""
    height, width = image.shape[:2]
    exponent = how.curve ** rng.uniform(-1, 1)
    table = _pixels(WHITE * (np.arange(256) / WHITE) ** exponent)
    grey = cv2.LUT(cv2.transform(image, SKIN_IN_INFRARED), table)
    middle = rng.uniform(0.35, 0.65, 2)
    across, down = (
        np.arange(n, dtype=np.float32) / n - at
        for n, at in ((width, middle[0]), (height, middle[1]))
    )
    # 0.5 is the square of a corner's distance from the centre.
    away = (across[None] ** 2 + down[:, None] ** 2) / 0.5
    return _pixels(grey * (1 - rng.uniform(0, how.falloff) * np.minimum(away, 1)))


def _darken(image: Image, rng: Generator, how: Augmentation) -> Image:
    """Take fewer photons: add shot and read noise (Janesick, Photon Transfer, 2007), then amplify.

    A pixel's value is taken as the square root of its light, close to sRGB's power of 1 / 2.2.
    """
    left = rng.uniform(*how.light)
    gain = min(rng.uniform(1, how.gain), 1 / left)
    seen = np.square(image.astype(np.float32) / WHITE) * (left * how.electrons)
    seen += cv2.sqrt(seen + how.read_noise**2) * _normal(rng, image.shape)
    shown = cv2.sqrt(np.maximum(seen * (gain / how.electrons), 0))
    return _pixels(WHITE * shown)


def _compress(image: Image, rng: Generator, how: Augmentation) -> Image:
    quality = int(rng.integers(how.quality[0], how.quality[1], endpoint=True))
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _normal(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape, np.float32)


def _pixels(values: Floats) -> Image:
    return np.clip(np.rint(values), 0, WHITE).astype(np.uint8)
