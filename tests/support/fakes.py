"""Stand-ins for what a test has not: models, cameras, a door, time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.scores.calibration import DetCurve, Tail
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.types import Face, Floats, Image
from ostiary.edge.errors import CameraError


def unit(values: object) -> Floats:
    """Rows of unit length, float32."""
    array = np.asarray(values, np.float64)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True), np.float32)


def face_at(x: float, y: float, side: float = 100.0) -> Face:
    """An upright frontal face in a box whose corner is x, y."""
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * side
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(box, (points + [x, y]).astype(np.float32), 0.9, upright=5.0)


def found_at(x: float, y: float, side: float = 100.0) -> Found:
    """What the detector says of `face_at`."""
    face = face_at(x, y, side)
    return face.box_px, face.score


def curve(
    impostors: int = 1_000_000, start: float = 0.0, refused: float = 1.0, tailed: bool = False
) -> DetCurve:
    """A curve whose FMR falls tenfold with each 0.1 of score, from 1 at `start`.

    FNMR is the score times `refused`. With `tailed` the same law continues as the modelled tail,
    and its safe score is 0.02 higher.
    """
    grid = np.round(np.arange(0, 1.0001, 0.01), 3)
    above = np.floor(impostors * np.minimum(10.0 ** (-10 * (grid - start)), 1)).astype(np.int64)
    below = np.floor(1000 * refused * grid).astype(np.int64)
    tenfold = np.arange(3, 12.1, 0.5)
    tau = start + tenfold / 10
    tail = Tail(10.0**-tenfold, tau, tau + 0.02) if tailed else None
    return DetCurve(grid, above, below, impostors, 1000, "made up", tail)


def curves() -> Curves:
    """`curve` for every kind of template and probe."""
    return Curves({1: curve()}, {})


class FakeClock:
    """Time that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeSource:
    """Gives its script: images, None for the end, an error to raise, or an event to hang on."""

    def __init__(
        self, script: Sequence[Image | CameraError | threading.Event | None], live: bool = True
    ) -> None:
        self.live = live
        self.size_px: tuple[int, int] | None = None
        self.closed = False
        self._script = list(script)

    def read(self) -> Image | None:
        step = self._script.pop(0) if self._script else None
        if isinstance(step, CameraError):
            raise step
        if isinstance(step, threading.Event):
            step.wait(30)
            raise CameraError("it hung")
        return step

    def interrupt(self) -> None:
        """Nothing to interrupt."""

    def close(self) -> None:
        self.closed = True


def image(value: int, height: int = 64, width: int = 64) -> Image:
    """A picture of one grey."""
    return np.full((height, width, 3), value, np.uint8)
