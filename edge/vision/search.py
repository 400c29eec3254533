"""Finds the faces of a camera's frame: in the whole of it, and tile by tile the distant ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ostiary.edge.core.faces import detection, geometry, preprocess, tiling
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.faces.tiling import Size, Tile, Tiling
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.vision.pipeline import MAX_BOX_IOU, Pipeline

TILES_A_FRAME = 2
"""Looks at tiles in each frame, beside the one at the whole: the bound of the cost. At 15 frames a
second each of 12 tiles is looked at again within 0.8 s."""
WARM_S = 1.0
"""A tile in which there was a face is looked at more often for so long."""
CLOSER = 0.04
"""How much is left out at each side of a tile in every second look at it: what is there is seen
larger, and a face that was just missed is found."""
EDGE_PX = 3
"""A box that ends so near to the edge of its tile may be a part of a face."""


class FaceSearch:
    """Looks at the whole of every frame, and at some tiles of it in turn.

    Of the tiles in each frame one is where a distant face was seen a moment ago, so that it can be
    followed; the others are those that were not looked at for longest.
    """

    def __init__(self, pipeline: Pipeline, wanted_eye_px: float) -> None:
        """`wanted_eye_px` is the least distance between the eyes that a face may have."""
        self._pipeline, self._wanted = pipeline, wanted_eye_px
        self._size: Size = (0, 0)
        self._detector: Size = (0, 0)
        self._tiling = Tiling((), 0.0)
        self._looked_s: list[float] = []
        self._looks: list[int] = []
        self._face_s: list[float] = []

    @property
    def least_eye_px(self) -> float:
        """The least distance between the eyes, in pixels of the camera's picture, of a face that is
        found; 0 before the first frame."""
        return self._tiling.least_eye_px

    def boxes(self, image: Image, now: float) -> list[Found]:
        """The (box_px, score) of every face found in a frame, the most prominent first."""
        self._plan_for((image.shape[0], image.shape[1]))
        whole = self._pipeline.boxes(image)
        distant = [found for tile in self._due(now) for found in self._in_tile(image, tile, now)]
        distant = [one for one in distant if not _is_known(one[0], whole)]
        self._warm(distant, now)
        if not distant:
            return whole
        return geometry.by_prominence(detection.merged([*whole, *distant], MAX_BOX_IOU), self._size)

    def _plan_for(self, size: Size) -> None:
        if size == self._size:
            return
        self._detector = self._pipeline.bundle.model("detector").size_px
        self._size, self._tiling = size, tiling.plan(size, self._detector, self._wanted)
        self._looked_s = [-math.inf] * len(self._tiling.tiles)
        self._looks = [0] * len(self._tiling.tiles)
        self._face_s = [-math.inf] * len(self._tiling.tiles)

    def _due(self, now: float) -> list[int]:
        """The tiles to look at now: one with a face, and else those not looked at for longest."""
        oldest = sorted(range(len(self._tiling.tiles)), key=lambda tile: self._looked_s[tile])
        warm = [tile for tile in oldest if now - self._face_s[tile] <= WARM_S]
        return list(dict.fromkeys([*warm[:1], *oldest]))[:TILES_A_FRAME]

    def _in_tile(self, image: Image, tile: int, now: float) -> list[Found]:
        view = self._tiling.tiles[tile]
        if self._looks[tile] % 2:
            view = _closer(view)
        self._looked_s[tile], self._looks[tile] = now, self._looks[tile] + 1
        x1, y1, x2, y2 = view
        corner = np.array([x1, y1, x1, y1], np.float32)
        shown = preprocess.halved(image[y1:y2, x1:x2], self._detector)
        scale = (x2 - x1) / shown.shape[1]
        found = self._pipeline.boxes(shown)
        moved = [(box * scale + corner, score) for box, score in found]
        return [one for one in moved if not _is_cut(one[0], view, self._size)]

    def _warm(self, distant: Sequence[Found], now: float) -> None:
        """Remember in which tiles there is a face that only a tile shows."""
        for box, _ in distant:
            x, y = (box[:2] + box[2:]) / 2
            for index, (x1, y1, x2, y2) in enumerate(self._tiling.tiles):
                if x1 <= x < x2 and y1 <= y < y2:
                    self._face_s[index] = now


def _closer(tile: Tile) -> Tile:
    x1, y1, x2, y2 = tile
    x, y = round(CLOSER * (x2 - x1)), round(CLOSER * (y2 - y1))
    return x1 + x, y1 + y, x2 - x, y2 - y


def _is_known(box: Floats, near: Sequence[Found]) -> bool:
    """Whether a box found in a tile is a near face, or a part of one: the whole shows that well."""
    x, y = (box[:2] + box[2:]) / 2
    return any(
        geometry.iou(box, other) > MAX_BOX_IOU
        or (other[0] <= x <= other[2] and other[1] <= y <= other[3])
        for other, _ in near
    )


def _is_cut(box: Floats, tile: Tile, size: Size) -> bool:
    """Whether a box reaches an edge of its tile that is not one of the picture's."""
    height, width = size
    near = (
        tile[0] > 0 and box[0] <= tile[0] + EDGE_PX,
        tile[1] > 0 and box[1] <= tile[1] + EDGE_PX,
        tile[2] < width and box[2] >= tile[2] - EDGE_PX,
        tile[3] < height and box[3] >= tile[3] - EDGE_PX,
    )
    return any(near)
