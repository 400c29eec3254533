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
LEAST_PX = 100
"""The least number of pixels of the face, and of its surroundings, that say anything."""

Plane = NDArray[np.uint8]
"""(height, width) uint8, grey."""
Mask = NDArray[np.bool_]

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
_PLACES = np.stack([_X, _Y, np.ones_like(_X)], -1)
"""(SIDE, SIDE, 3): x, y and 1 of each pixel."""


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
    """How one square of the picture changed: its two looks, the `flow` (SIDE, SIDE, 2) in pixels
    from the first to the second, what an affine motion of the face `explains` of it, and which
    pixels are the `face` and which its surroundings, the `ring`."""

    first: Plane
    second: Plane
    flow: Floats
    explains: Floats
    face: Mask
    ring: Mask


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
    """How far the surroundings stay behind a face that moves: the logarithm of `_apart` over the
    face's motion."""
    motion = np.sqrt((moved.explains[moved.face] ** 2).sum(1).mean())
    return float(np.log((_apart(moved) + 0.1) / (motion + 0.3)))


def own_way(moved: Moved) -> float:
    """How far the surroundings go their own way: the logarithm of `_apart` over their own motion,
    which is large where somebody holds a picture in front of the camera."""
    motion = np.median(np.linalg.norm(moved.flow[moved.ring], axis=1))
    return float(np.log((_apart(moved) + 0.1) / (motion + 0.1)))


def _apart(moved: Moved) -> float:
    """The median distance, in pixels, between the flow of the surroundings and what the face's
    affine motion would be there."""
    apart = np.linalg.norm((moved.flow - moved.explains)[moved.ring], axis=1)
    return float(np.median(apart))


def change(moved: Moved) -> float:
    """How much of the face changes that its affine motion does not explain: the logarithm of the
    mean absolute difference, in standard deviations, after that motion is undone."""
    x, y = (_PLACES[..., :2] + moved.explains).astype(np.float32).transpose(2, 0, 1)
    undone = cv2.remap(moved.second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = np.abs(_standardised(moved.first) - _standardised(undone))
    return float(np.log(difference[moved.face].mean() + 0.01))


def identity(before: Still, now: Still) -> float:
    """How far the embedding moved, the logarithm of one minus the cosine: a photo's is steadier."""
    apart = max(1.0 - float(before.embedding @ now.embedding), 0.0)
    return float(np.log(apart + 0.005))


CUES = ("left-behind", "own-way", "change", "identity")
"""The names of the motion cues, in the order of the functions above."""


def _moved(before: Still, now: Still) -> Moved | None:
    x, y, side = _square(before)
    face, ring = _masks((before.box_px - np.array([x, y, x, y])) * SIDE / side)
    if min(face.sum(), ring.sum()) < LEAST_PX or before.grey.shape != now.grey.shape:
        return None
    first, second = (_cut(still.grey, x, y, side) for still in (before, now))
    flow = np.asarray(_flows().calc(first, second, None), np.float32)  # type: ignore[call-overload]
    return Moved(first, second, flow, _affine(flow, face), face, ring)


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
    """The pixels of a face and of its surroundings; `box` is in pixels of the square."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    out = ((_PLACES[..., :2] - middle) / half) ** 2
    distance = out.sum(-1)
    return distance < FACE, distance > RING


def _affine(flow: Floats, face: Mask) -> Floats:
    """The affine motion of the face (SIDE, SIDE, 2), fitted twice by least squares: the second time
    a pixel counts less the further the first fit left it off (Cauchy weights)."""
    places, moves = _PLACES[face], flow[face]
    weights = np.ones(len(places), np.float32)
    for _ in range(2):
        weighted = places * weights[:, None] ** 2
        fitted = np.linalg.lstsq(weighted.T @ places, weighted.T @ moves, rcond=None)[0]
        off = np.linalg.norm(moves - places @ fitted, axis=1)
        weights = 1 / (1 + (off / (np.median(off) + 1e-3)) ** 2)
    return np.asarray(_PLACES @ fitted, np.float32)


def _standardised(grey: Plane) -> Floats:
    values = grey.astype(np.float32)
    return np.asarray((values - values.mean()) / (values.std() + 1e-3), np.float32)


def _flows() -> cv2.DISOpticalFlow:
    """Dense inverse search (Kroeger et al., 2016). Made anew for each pair, since one instance must
    not be used by two threads."""
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
