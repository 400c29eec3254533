"""Covers drawn by plain means, unlike those that the covered head is fitted on: flat outlines."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ostiary.edge.core.types import Floats, Image

Cover = Callable[[Image, Floats], Image]


def filled(photo: Image, outline: Floats, colour: tuple[int, int, int]) -> Image:
    made = photo.copy()
    cv2.fillPoly(made, [np.round(outline).astype(np.int32)], colour)
    return made


def mask(photo: Image, points: Floats) -> Image:
    """A blue mask from the bridge of the nose to the jaw; `points` (68, 2) are the landmarks."""
    return filled(photo, np.r_[points[2:15], points[28:29]], (200, 160, 110))


def sunglasses(photo: Image, points: Floats) -> Image:
    """Two black ovals with a bar between them."""
    made, (right, left) = photo.copy(), (points[36:42].mean(0), points[42:48].mean(0))
    apart = float(np.linalg.norm(left - right))
    for eye in (right, left):
        axes = (round(0.42 * apart), round(0.3 * apart))
        cv2.ellipse(made, np.round(eye).astype(int).tolist(), axes, 0, 0, 360, (20, 20, 20), -1)
    ends = [np.round(eye).astype(int).tolist() for eye in (right, left)]
    cv2.line(made, ends[0], ends[1], (20, 20, 20), round(0.06 * apart))
    return made


def balaclava(photo: Image, points: Floats) -> Image:
    """Black all over, with a slit for the eyes."""
    made, middle = photo.copy(), points[36:48].mean(0)
    apart = float(np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0)))
    at = np.round(middle + [0, 0.5 * apart]).astype(int).tolist()
    cv2.ellipse(made, at, (round(1.35 * apart), round(2 * apart)), 0, 0, 360, (20, 20, 20), -1)
    slit = np.zeros(photo.shape[:2], np.uint8)
    at = np.round(middle).astype(int).tolist()
    cv2.ellipse(slit, at, (round(0.9 * apart), round(0.33 * apart)), 0, 0, 360, 255, -1)
    return np.asarray(np.where(slit[..., None] > 0, photo, made), np.uint8)


PLAIN: dict[str, Cover] = {"mask": mask, "sunglasses": sunglasses, "balaclava": balaclava}
