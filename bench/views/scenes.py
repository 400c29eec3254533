"""Pictures of a camera's size with people at a distance: photos shrunk, and set into a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.vision.pipeline import Pipeline

NOISE = 3.0
"""Standard deviation of the camera's noise, in 0..255."""
MARGIN = 1.6
"""How much of a photo is cut out around its face, in boxes of the face."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One photo, cut about its face, whose eyes are `eye_px` apart, and a template (dim,)."""

    name: str
    cut: Image
    eye_px: float
    template: Floats


def read_persons(pipeline: Pipeline, folder: Path, most: int, seed: int) -> list[Shot]:
    """Up to `most` people of a folder, drawn at random, by their first photo, and enrolled by
    their last; with one photo nobody counts. Raises PhotoError if it shows none."""
    folders = sorted(p for p in folder.iterdir() if p.is_dir())
    people = []
    for at in np.random.default_rng(seed).permutation(len(folders)):
        photos = sorted(f for f in folders[at].iterdir() if is_photo(f))
        person = _person(pipeline, folders[at].name, photos) if len(photos) > 1 else None
        people += [person] if person is not None else []
        if len(people) == most:
            break
    if not people:
        raise PhotoError(f"{folder} shows nobody", "give a folder of photos for each person")
    return people


def _person(pipeline: Pipeline, name: str, photos: Sequence[Path]) -> Shot | None:
    shown, enrolled = read_photo(photos[0]), read_photo(photos[-1])
    faces, known = pipeline.find(shown), pipeline.find(enrolled)
    if not faces or not known:
        return None
    eye_px = float(np.linalg.norm(faces[0].points_px[1] - faces[0].points_px[0]))
    corner, end = faces[0].box_px[:2], faces[0].box_px[2:]
    middle, half = (corner + end) / 2, (end - corner) / 2 * MARGIN
    x1, y1 = np.maximum(middle - half, 0).astype(int)
    x2, y2 = (middle + half).astype(int)
    template = pipeline.embed(pipeline.align(enrolled, known[0]))
    return Shot(name, shown[y1:y2, x1:x2], eye_px, template)


def room(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """An empty room of (height, width): walls, things of one colour, and uneven light."""
    height, width = size
    light = cv2.resize(
        rng.uniform(0.6, 1.2, (3, 4)), (width, height), interpolation=cv2.INTER_CUBIC
    )
    made = np.full((height, width, 3), rng.integers(90, 170, 3), np.uint8)
    for _ in range(25):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        end = (
            at[0] + int(rng.integers(20, width // 3)),
            at[1] + int(rng.integers(20, height // 2)),
        )
        cv2.rectangle(made, at, end, rng.integers(30, 220, 3).tolist(), -1)
    return np.asarray(np.clip(made * light[..., None], 0, 255), np.uint8)


def put(picture: Image, person: Shot, eye_px: float, corner: tuple[int, int]) -> Floats:
    """Set a person into a picture, in place, with `eye_px` between the eyes and the upper left
    `corner` at x, y; what lies outside is cut off. Returns the box that they fill."""
    scale = eye_px / person.eye_px
    small = cv2.resize(person.cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    x, y = corner
    place = picture[y : y + height, x : x + width]
    fade = np.zeros((height, width), np.float32)
    cv2.ellipse(fade, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 1.0, -1)
    fade = cv2.GaussianBlur(fade, (0, 0), max(width / 40, 0.5))[..., None]
    high, wide = place.shape[:2]
    mixed = small[:high, :wide] * fade[:high, :wide] + place * (1 - fade[:high, :wide])
    place[:] = mixed.astype(np.uint8)
    return np.array([x, y, x + width, y + height], np.float32)


def size_of(person: Shot, eye_px: float) -> tuple[int, int]:
    """The (height, width) that a person fills with `eye_px` between the eyes."""
    scale = eye_px / person.eye_px
    return round(person.cut.shape[0] * scale), round(person.cut.shape[1] * scale)


def noisy(picture: Image, rng: np.random.Generator) -> Image:
    """A frame of a picture, with the noise of a camera."""
    sheet = _noise(picture.shape)
    moved = np.roll(sheet, int(rng.integers(sheet.size)))
    return np.asarray(cv2.add(picture, moved, dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=1)
def _noise(shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Noise for pictures of a shape; to draw it anew for each frame takes longer than to look."""
    drawn = np.random.default_rng(0).normal(0, NOISE, shape)
    return np.asarray(np.rint(drawn), np.int16)
