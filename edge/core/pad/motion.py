"""Motion cues: how a face and what surrounds it change between two frames, half a second apart.

A flat picture moves as one: the paper around a printed face follows it, and a face on a fixed
screen does not move at all. A living face turns, blinks and speaks while the wall behind it stays.
Each cue is larger for a living face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats

SIDE = 128
"""Pixels of the square, around a face, in which motion is measured."""
AROUND = 2.2
"""Its side, in sides of the face's box."""
LONGEST_S = 2.0
"""Frames further apart are not compared: too much has changed."""
FACE, RING = 0.8, 1.7
"""The face is inside this ellipse in its box, as x^2 + y^2 with the box's edges at 1, and its
surroundings are outside of that one."""
LEAST_PLACES = 32
"""The least number of places in the face, and in its surroundings, that say anything."""

Plane = NDArray[np.uint8]
"""(height, width) uint8, grey."""
Mask = NDArray[np.bool_]

STEP = 2
"""Flow is smooth: every second pixel of every second row says as much as all of them."""

_AXIS = np.arange(0, SIDE, STEP, dtype=np.float32)
_PLACES = np.stack([*np.meshgrid(_AXIS, _AXIS), np.ones((len(_AXIS),) * 2, np.float32)], -1)
"""(SIDE / STEP, SIDE / STEP, 3): x, y and 1 of each place where flow is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A face in one frame, kept to be compared with a later one: the whole `grey` picture, the box,
    the embedding (dim,), and the time in seconds."""

    grey: Plane
    box_px: Floats
    embedding: Floats
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """How one square of the picture changed from its `first` look to the `second`.

    `affine` (3, 2) maps x, y and 1 of a pixel to the motion of the face there. `face_px` is that
    motion over the face, as root mean square; `ring_px` and `apart_px` are the median motion of
    what surrounds it, and the median distance between that motion and what the face's would be
    there. `face` marks the places of the face.
    """

    first: Plane
    second: Plane
    affine: Floats
    face: Mask
    face_px: float
    ring_px: float
    apart_px: float


def is_apart(before: Still, at_s: float, apart_s: float) -> bool:
    """Whether a frame at `at_s` is at least `apart_s` later than one before it."""
    return at_s - before.at_s >= apart_s


def compare(before: Still, now: Still) -> Mapping[str, float] | None:
    """The cues of two frames of one face, by name; None if they say nothing, because they are more
    than LONGEST_S apart, or the face lies too near the edge of the picture."""
    if now.at_s - before.at_s > LONGEST_S:
        return None
    moved = _moved(before, now)
    if moved is None:
        return None
    cues = (left_behind(moved), own_way(moved), change(moved), identity(before, now))
    return dict(zip(CUES, cues, strict=True))


def left_behind(moved: Moved) -> float:
    """How far the surroundings stay behind a face that moves."""
    return float(np.log((moved.apart_px + 0.1) / (moved.face_px + 0.3)))


def own_way(moved: Moved) -> float:
    """How far the surroundings go their own way: little where somebody holds a picture in front of
    the camera, and all of it moves."""
    return float(np.log((moved.apart_px + 0.1) / (moved.ring_px + 0.1)))


def change(moved: Moved) -> float:
    """How much of the face changes that its affine motion does not explain: the logarithm of the
    mean absolute difference, in standard deviations, after that motion is undone."""
    onto = np.eye(2, 3, dtype=np.float32) + moved.affine.T
    undone = cv2.warpAffine(
        moved.second,
        onto,
        (SIDE, SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = cv2.absdiff(
        _standardised(moved.first), _standardised(np.asarray(undone, np.uint8))
    )
    return float(np.log(difference[::STEP, ::STEP][moved.face].mean() + 0.01))


def identity(before: Still, now: Still) -> float:
    """How far the embedding moved, the logarithm of one minus the cosine: a photo's is steadier."""
    apart = max(1.0 - float(before.embedding @ now.embedding), 0.0)
    return float(np.log(apart + 0.005))


CUES = ("left-behind", "own-way", "change", "identity")
"""The names of the motion cues, in the order of the functions above."""


def _moved(before: Still, now: Still) -> Moved | None:
    x, y, side = _square(before)
    face, ring = _masks((before.box_px - np.array([x, y, x, y])) * SIDE / side)
    if min(face.sum(), ring.sum()) < LEAST_PLACES or before.grey.shape != now.grey.shape:
        return None
    first, second = (_cut(still.grey, x, y, side) for still in (before, now))
    # Dense inverse search (Kroeger et al., 2016); one instance must not serve two threads.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dense = search.calc(first, second, np.zeros((SIDE, SIDE, 2), np.float32))
    flow = np.asarray(dense, np.float32)[::STEP, ::STEP]
    affine = _affine(_PLACES[face], flow[face])
    motion, around = _PLACES[face] @ affine, flow[ring]
    return Moved(
        first,
        second,
        affine,
        face,
        float(np.sqrt((motion**2).sum(1).mean())),
        float(np.median(_lengths(around))),
        float(np.median(_lengths(around - _PLACES[ring] @ affine))),
    )


def _square(still: Still) -> tuple[float, float, float]:
    """Left, top and side in pixels of the square around a face, moved and shrunk to lie inside."""
    height, width = still.grey.shape
    box = still.box_px
    side = min(float((box[2:] - box[:2]).max()) * AROUND, width, height)
    x, y = (box[:2] + box[2:]) / 2 - side / 2
    return float(np.clip(x, 0, width - side)), float(np.clip(y, 0, height - side)), side


def _cut(grey: Plane, x: float, y: float, side: float) -> Plane:
    piece = grey[int(y) : int(y + side), int(x) : int(x + side)]
    return np.asarray(cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _masks(box: Floats) -> tuple[Mask, Mask]:
    """The places of a face and of its surroundings; `box` is in pixels of the square."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    x, y = (((_AXIS - middle[axis]) / half[axis]) ** 2 for axis in (0, 1))
    distance = y[:, None] + x
    return distance < FACE, distance > RING


def _affine(places: Floats, moves: Floats) -> Floats:
    """The affine motion (3, 2) of some places (n, 3), fitted twice by least squares: the second
    time a place counts less the further the first fit left it off (Cauchy weights)."""
    weights = np.ones(len(places), np.float32)
    fitted = np.zeros((3, 2), np.float32)
    for _ in range(2):
        weighted = (places * weights[:, None]).T
        fitted = np.linalg.lstsq(weighted @ places, weighted @ moves, rcond=None)[0]
        off = _lengths(moves - places @ fitted)
        weights = (1 + (off / (np.median(off) + 1e-3)) ** 2) ** -2
    return np.asarray(fitted, np.float32)


def _lengths(vectors: Floats) -> Floats:
    """The lengths (n,) of some vectors (n, 2)."""
    return np.asarray(np.sqrt((vectors**2).sum(1)), np.float32)


def _standardised(grey: Plane) -> Floats:
    mean, std = cv2.meanStdDev(grey)
    scale = 1 / (float(std[0, 0]) + 1e-3)
    return np.asarray((grey.astype(np.float32) - np.float32(mean[0, 0])) * np.float32(scale))
