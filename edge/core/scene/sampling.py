"""What is looked at of a picture: some of its pixels, and the means of small cells all over it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats, Image

ROWS, COLUMNS = 32, 64
"""The grid of cells. Two neighbours in a row, an even and an odd column, touch and make a pair; the
pairs are spread over the picture."""
CELL_PX = 4
"""The side of a cell, in pixels of a picture that is 640 wide. A cell as large as the grid allows
would average the sensor's noise away, and the noise of one pixel does not survive a video encoder.
"""
NATIVE_WIDTH_PX = 640
STEP_PX, MOST_COLUMNS = 8, 80

FLARE = 4.0
"""Grey levels added before the logarithm, which otherwise makes much of the noise in black."""
LOG = np.log(np.arange(256) + FLARE).astype(np.float32)

Cells = NDArray[np.uint8]


def sampled(image: Image) -> Image:
    """Every eighth pixel of an image (height, width, 3), fewer of one wider than 640; a copy."""
    step = max(STEP_PX, image.shape[1] // MOST_COLUMNS)
    return np.ascontiguousarray(image[::step, ::step])


class Sampler:
    """Takes the cells of pictures of any size, at about the same cost."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._places = np.zeros((0, 0), np.int64)

    def cells(self, image: Image) -> Cells:
        """The means of the green of the cells, (ROWS, COLUMNS) uint8, of an image (height, width,
        3)."""
        if image.shape != self._shape:
            self._shape = image.shape
            self._places = _places(*image.shape[:2])
        green = image.reshape(-1).take(self._places)
        return np.asarray(
            cv2.resize(green, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.uint8
        )


def logs(cells: Cells) -> Floats:
    """The natural logarithms of cells: light that doubles adds the same to each of them."""
    return np.asarray(LOG[cells])


def _places(height: int, width: int) -> NDArray[np.int64]:
    """Where the green of each pixel of each cell lies in the flattened image, (rows, columns)."""
    pitch = max(1, round(width / NATIVE_WIDTH_PX))
    across = _spread(width, COLUMNS // 2, 2 * CELL_PX, pitch)
    down = _spread(height, ROWS, CELL_PX, pitch)
    return (down[:, None] * width + across) * 3 + 1


def _spread(length: int, runs: int, size: int, pitch: int) -> NDArray[np.int64]:
    """The places of `runs` runs of `size` pixels, `pitch` apart, spread evenly over `length`."""
    starts = (np.arange(runs) + 0.5) * length / runs - size * pitch / 2
    places = starts[:, None] + np.arange(size) * pitch
    return np.clip(np.rint(places), 0, length - 1).astype(np.int64).reshape(-1)
