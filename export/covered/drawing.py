"""What covers are drawn with: a frame on the face, outlines, and stuffs that look like cloth, skin
or glass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Image

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
JAW, MOUTH = slice(0, 17), slice(48, 60)
Spot = tuple[float, float]
Values = NDArray[np.floating[Any]]
"""Outlines, masks and stuffs; of which precision does not matter."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A photo to draw on, and a frame on its face: the middle of the eyes is (0, 0), x goes along
    the eyes to the picture's right, y down the face, and 1 is the distance of the eyes.

    `points_px` (68, 2) are the landmarks, `rng` decides everything that is left to chance. `light`
    (h, w) is how bright the light on the face is, about 1 in the middle of the brightness range.
    """

    photo: Image
    points_px: Values
    rng: np.random.Generator
    light: Values

    @property
    def eyes_px(self) -> Values:
        """(2, 2): the middles of the two eyes."""
        pair = [self.points_px[eye].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
        return np.asarray(pair, np.float32)

    @property
    def unit_px(self) -> float:
        """The distance of the eyes in pixels, at least 1."""
        return max(float(np.linalg.norm(self.eyes_px[1] - self.eyes_px[0])), 1.0)

    def place(self, spots: Sequence[Spot] | Values) -> Values:
        """Spots (n, 2) of the frame in pixels (n, 2)."""
        right, left = self.eyes_px
        along = left - right
        down = np.array([-along[1], along[0]], np.float32)
        given = np.asarray(spots, np.float32).reshape(-1, 2)
        return np.asarray((right + left) / 2 + given[:, :1] * along + given[:, 1:] * down)

    def spots(self, points_px: Values) -> Values:
        """Pixels (n, 2) as spots of the frame (n, 2)."""
        right, left = self.eyes_px
        along = left - right
        away = points_px - (right + left) / 2
        down = np.array([-along[1], along[0]], np.float32)
        size = max(float(along @ along), 1e-6)
        return np.stack([away @ along, away @ down], 1) / size

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def sheet(photo: Image, points_px: Values, rng: np.random.Generator) -> Sheet:
    """A sheet on a photo (BGR), whose light is that of the face, blurred."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.float32)
    low = np.clip(points_px.min(0).astype(int), 0, None)
    high = points_px.max(0).astype(int) + 1
    face = grey[low[1] : high[1], low[0] : high[0]]
    mean = float(np.percentile(face, 60)) if face.size else 128.0
    soft = cv2.GaussianBlur(grey, (0, 0), max(float(high[0] - low[0]) / 4, 1.0))
    share = rng.uniform(0.0, 0.6)
    light = (1 - share) * mean + share * np.asarray(soft, np.float32)
    return Sheet(photo, points_px, rng, np.clip(light / 140, 0.08, 1.5))


def smooth(outline: Values, turns: int) -> Values:
    """An outline (n, 2) with its corners cut `turns` times (Chaikin)."""
    for _ in range(turns):
        after = np.roll(outline, -1, 0)
        outline = np.stack([0.75 * outline + 0.25 * after, 0.25 * outline + 0.75 * after], 1)
        outline = outline.reshape(-1, 2)
    return outline


def oval(x: float, y: float, across: float, down: float, bent: float = 2.0, n: int = 32) -> Values:
    """Spots (n, 2) of an oval with half axes; `bent` above 2 is nearer to a rectangle."""
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    form = np.stack([np.sign(c) * np.abs(c) ** (2 / bent), np.sign(s) * np.abs(s) ** (2 / bent)], 1)
    return np.asarray(form * [across, down] + [x, y], np.float32)


def filled(on: Sheet, outline_px: Values, soft_px: float = 0.0) -> Values:
    """How much of each pixel (h, w) lies in an outline, 0 to 1, with soft edges."""
    mask = np.zeros(on.photo.shape[:2], np.uint8)
    whole = np.round(np.clip(outline_px, -4000, 8000) * 16).astype(np.int32)
    cv2.fillPoly(mask, [whole], 255, cv2.LINE_AA, 4)
    alpha = mask.astype(np.float32) / 255
    if soft_px > 0.3:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), soft_px), np.float32)
    return alpha


def line(on: Sheet, spots: Sequence[Spot] | Values, width: float) -> Values:
    """How much of each pixel (h, w) lies on a line through spots; `width` in eye distances."""
    mask = np.zeros(on.photo.shape[:2], np.uint8)
    path = np.round(np.clip(on.place(spots), -2000, 4000) * 16).astype(np.int32)
    wide = max(round(width * on.unit_px), 1)
    cv2.polylines(
        mask, [path], isClosed=False, color=255, thickness=wide, lineType=cv2.LINE_AA, shift=4
    )
    return mask.astype(np.float32) / 255


def paint(on: Sheet, alpha: Values, stuff: Values, lit: bool = True) -> Sheet:
    """The sheet with a stuff (h, w, 3) laid over the photo where alpha (h, w) says."""
    seen = stuff * on.light[..., None] if lit else stuff
    over = np.clip(alpha, 0, 1)[..., None]
    photo = on.photo * (1 - over) + np.clip(seen, 0, 255) * over
    return Sheet(np.round(photo).astype(np.uint8), on.points_px, on.rng, on.light)


def flat(on: Sheet, colour: Values) -> Values:
    """One BGR colour everywhere, (h, w, 3)."""
    return np.broadcast_to(colour.astype(np.float32), on.photo.shape).copy()


def waves(on: Sheet, size: float) -> Values:
    """Smooth noise (h, w), about -1 to 1; `size` of its blots in eye distances."""
    height, width = on.photo.shape[:2]
    step = max(size * on.unit_px, 1.5)
    few = (max(int(height / step), 2), max(int(width / step), 2))
    rough = on.rng.normal(0, 0.5, few).astype(np.float32)
    return np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC))


def along(on: Sheet, degrees: float) -> Values:
    """The distance of each pixel (h, w) from the middle of the eyes in a direction of the frame,
    in eye distances; 0 degrees is along the eyes, 90 down the face."""
    height, width = on.photo.shape[:2]
    turn = np.radians(degrees)
    start, end = on.place([(0, 0), (np.cos(turn), np.sin(turn))])
    toward = (end - start) / max(float((end - start) @ (end - start)), 1e-6)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray((columns - start[0]) * toward[0] + (rows - start[1]) * toward[1], np.float32)


COLOURS = {
    "blue": (190, 150, 105), "white": (228, 228, 226), "black": (34, 33, 34),
    "green": (140, 165, 120), "pink": (185, 160, 225), "grey": (125, 125, 125),
    "navy": (85, 48, 32), "red": (45, 40, 165), "beige": (150, 180, 205),
    "brown": (50, 75, 110), "yellow": (70, 190, 220), "violet": (150, 70, 120),
}  # fmt: skip
"""BGR of stuffs in the middle of the light."""


def colour(on: Sheet, names: Sequence[str] = ()) -> Values:
    """A BGR colour (3,) near one of the named; near any, or quite another, without names."""
    if not names and on.chance(0.35):
        return np.asarray(on.rng.uniform(15, 240, 3), np.float32)
    known = list(names) or list(COLOURS)
    base = np.array(COLOURS[known[on.rng.integers(len(known))]], np.float32)
    return np.clip(base * on.between(0.8, 1.2) + on.rng.normal(0, 12, 3), 4, 250).astype(np.float32)


def patterned(on: Sheet, base: Values) -> Values:
    """A stuff with stripes, checks, dots, blots or a print, on a base (h, w, 3)."""
    other = flat(on, colour(on))
    size, turn = on.between(0.08, 0.5), on.between(0, 180)
    first = np.sin(along(on, turn) * 2 * np.pi / size)
    second = np.sin(along(on, turn + 90) * 2 * np.pi / size)
    kind = on.rng.integers(5)
    if kind == 0:
        where = first > on.between(-0.4, 0.4)
    elif kind == 1:
        where = (first > 0) ^ (second > 0)
    elif kind == 2:
        where = (first + second) > on.between(0.9, 1.4)
    elif kind == 3:
        where = waves(on, size) > on.between(-0.2, 0.3)
    else:
        half = np.float32(0.5)
        share = half * (first > 0.2) + half * (second > 0.2)
        return np.asarray(base * (1 - share[..., None]) + other * share[..., None])
    return np.asarray(np.where(where[..., None], other, base))


def cloth(on: Sheet, base: Values, pattern: float = 0.3, folds: float = 0.5) -> Values:
    """Cloth (h, w, 3) of a BGR colour (3,): shaded, perhaps folded, patterned, and rough."""
    stuff = flat(on, base)
    if on.chance(pattern):
        stuff = patterned(on, stuff)
    shade = 1 + on.between(0, 0.25) * waves(on, on.between(0.4, 1.2))
    shade = shade + on.between(-0.25, 0.25) * along(on, on.between(0, 360))
    if on.chance(folds):
        bent = along(on, on.between(0, 180)) + on.between(0, 0.2) * waves(on, 0.6)
        sharp = np.sin(bent * 2 * np.pi / on.between(0.2, 0.7))
        shade = shade + on.between(0.03, 0.2) * np.sign(sharp) * np.abs(sharp) ** on.between(1, 3)
    stuff = stuff * np.clip(shade, 0.3, 1.7)[..., None]
    rough = on.rng.normal(0, on.between(0, 7), on.photo.shape[:2]).astype(np.float32)
    return np.asarray(stuff + rough[..., None], np.float32)


def skin_colour(on: Sheet) -> Values:
    """A BGR colour (3,) of skin, as the light would show it: this face's, or another's."""
    cheeks = on.place([(-0.45, 0.5), (0.45, 0.5), (0, -0.4)]).astype(int)
    height, width = on.photo.shape[:2]
    x = np.clip(cheeks[:, 0], 2, width - 3)
    y = np.clip(cheeks[:, 1], 2, height - 3)
    patches = [
        on.photo[b - 2 : b + 3, a - 2 : a + 3].reshape(-1, 3).mean(0)
        for a, b in zip(x, y, strict=True)
    ]
    own = np.median(patches, 0)
    if on.chance(0.15):
        own = np.array([95, 125, 175]) * on.between(0.35, 1.2)
    seen = own * on.between(0.75, 1.2) + on.rng.normal(0, 5, 3)
    return np.asarray(np.clip(seen, 3, 252), np.float32)
