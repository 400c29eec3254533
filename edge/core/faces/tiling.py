"""Cuts a large picture into tiles in which the detector finds faces that it misses in the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

FOUND_EYE_PX = 6.5
"""The distance between the eyes, in pixels of the detector's input, at which one look finds 97 % of
faces (`python -m bench.views.far` in the smallest picture of each size)."""
OVERLAP_EYES = 2.6
"""How far tiles overlap, in distances between the eyes of the smallest face that the whole picture
shows well enough: such a face must not lie cut on every tile."""
MOST_TILES = 12
"""More tiles would be looked at too seldom; a larger picture than these cover finds larger faces
only."""
COARSER = 1.02

Tile = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels of the picture."""
Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of a picture, none if the whole is enough, and the least distance between the eyes
    of the faces that are found in them, in pixels of the picture."""

    tiles: tuple[Tile, ...]
    least_eye_px: float


def plan(picture: Size, detector: Size, wanted_eye_px: float) -> Tiling:
    """The tiling of a picture for a detector's input that finds faces with `wanted_eye_px` pixels
    between the eyes, or the smallest that MOST_TILES tiles find."""
    whole = FOUND_EYE_PX * max(p / d for p, d in zip(picture, detector, strict=True))
    overlap = OVERLAP_EYES * whole
    least = wanted_eye_px
    while least < whole:
        tile = [side * least / FOUND_EYE_PX for side in detector]
        rows, columns = (_count(p, t, overlap) for p, t in zip(picture, tile, strict=True))
        if rows * columns <= MOST_TILES:
            return Tiling(_tiles(picture, (rows, columns), overlap), least)
        least *= COARSER
    return Tiling((), whole)


def _count(side: int, tile: float, overlap: float) -> int:
    """How many tiles cover a side; too many if they are no longer than their overlap."""
    if tile >= side:
        return 1
    return math.ceil((side - overlap) / (tile - overlap)) if tile > overlap else MOST_TILES + 1


def _tiles(picture: Size, counts: Size, overlap: float) -> tuple[Tile, ...]:
    """The tiles, row by row, each no larger than it must be to cover the picture."""
    rows, columns = (
        _spans(side, count, overlap) for side, count in zip(picture, counts, strict=True)
    )
    return tuple((x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns)


def _spans(side: int, count: int, overlap: float) -> list[tuple[int, int]]:
    length = min(math.ceil((side + (count - 1) * overlap) / count), side)
    steps = max(count - 1, 1)
    return [(at, at + length) for at in ((side - length) * i // steps for i in range(count))]
