"""What pictures tell of the camera's health: no picture at all, one flat colour, or frozen."""

from __future__ import annotations

import numpy as np

from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError

SAMPLE_STEP = 8
FLAT_S = 2.0
FLAT_RANGE = 2
"""A picture whose every channel varies by no more than this shows nothing: a broken sensor's black
or green, or a covered lens. Compressed, one colour still varies by a step or two."""


def checked(image: object) -> Image:
    """A picture as the models take it. Raises CameraError for anything else a source may give."""
    if not isinstance(image, np.ndarray):
        raise CameraError(f"the source gave no picture but {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise CameraError(
            f"the source gave no picture: expected (height, width, 3) uint8, got"
            f" {image.shape} {image.dtype}"
        )
    return image


class Watchfulness:
    """Tells a live camera's pictures that are no new evidence, and how long that has gone on.

    Real pictures have noise: every pixel the same twice is a frozen picture. Noise in place of a
    scene can not be told from one here; it shows no face.
    """

    def __init__(self, frozen_s: float) -> None:
        """`frozen_s` 0: a frozen picture is no evidence, but no fault either."""
        self._frozen_s = frozen_s
        self._sample = b""
        self._changed_s: float | None = None
        self._shown_s: float | None = None

    def opened(self) -> None:
        """A source begins: how long it is useless counts from its first picture.

        What the last one showed stays known: a camera that still shows it is not back.
        """
        self._changed_s = self._shown_s = None

    def useless(self, image: Image, now: float) -> bool:
        """Whether a picture shows nothing new; CameraError once that was so for too long."""
        seen = image[::SAMPLE_STEP, ::SAMPLE_STEP]
        still, flat = self._is_still(seen), _is_flat(seen)
        if not still or self._changed_s is None:
            self._changed_s = now
        if not flat or self._shown_s is None:
            self._shown_s = now
        if self._frozen_s and now - self._changed_s >= self._frozen_s:
            raise CameraError(f"the picture has been frozen for {now - self._changed_s:.1f} s")
        if now - self._shown_s >= FLAT_S:
            raise CameraError(f"the picture has been of one colour for {now - self._shown_s:.1f} s")
        return still or flat

    def _is_still(self, seen: Image) -> bool:
        sample = seen.tobytes()
        before, self._sample = self._sample, sample
        return sample == before


def _is_flat(seen: Image) -> bool:
    pixels = seen.reshape(-1, seen.shape[2])
    return bool(np.all(np.ptp(pixels, axis=0) <= FLAT_RANGE))
