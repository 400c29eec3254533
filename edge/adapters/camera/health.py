"""Faults that a camera's pictures show: no picture, one flat colour, or a frozen picture."""

from __future__ import annotations

import numpy as np

from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError

FLAT_S = 2.0
FLAT_RANGE = 2
"""The range of values in each channel up to which a picture counts as one colour: a broken sensor's
black or green, or a covered lens. After compression one colour still varies by a step or two."""


def checked(image: object) -> Image:
    """The image, if it is (height, width, 3) uint8 and not empty; else raises CameraError."""
    if not isinstance(image, np.ndarray):
        raise CameraError(
            f"the source gave no picture: expected an array, got a {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise CameraError(
            f"the source gave no picture: expected (height, width, 3) uint8, got"
            f" {image.shape} {image.dtype}"
        )
    return image


class PictureHealth:
    """Finds pictures of a live camera that show nothing new, and raises if that lasts too long.

    Real pictures have noise, so two pictures with equal pixels mean a frozen camera. One that
    stands still but for some pixels is found by `ostiary.edge.core.scene.watch`. Noise in place of
    a scene is not detected; no face is found in it.
    """

    def __init__(self, frozen_s: float) -> None:
        """`frozen_s` 0: a frozen picture counts as useless, but never as a fault."""
        self._frozen_s = frozen_s
        self._sample = b""
        self._changed_s: float | None = None
        self._shown_s: float | None = None

    def opened(self) -> None:
        """Start timing anew, from the first picture of a source that was just opened.

        The last picture is remembered: a camera that still shows it has not recovered.
        """
        self._changed_s = self._shown_s = None

    def useless(self, seen: Image, now: float) -> bool:
        """True if a picture shows nothing new, by the pixels sampled from it. Raises CameraError if
        this lasts too long."""
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
