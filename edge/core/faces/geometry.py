"""Boxes, the five-point similarity transform, and crops that pad instead of shifting."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.types import Floats, Image

ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
"""Where the five points lie in a 112x112 crop (ArcFace, Deng et al. 2019), x then y."""

TEMPLATE_SIDE = 112
DOMINANT_AREA, DOMINANT = 2.0, 4.0
"""How many times larger, and more prominent, a face must be than all others to dominate."""


def similarity(source: Floats, target: Floats) -> NDArray[np.float32]:
    """The least-squares similarity (rotation, uniform scale, shift) from source to target points.

    Both are (n, 2) float32; the answer is a (2, 3) matrix. With points as complex numbers the fit
    is d = a*s + b with a = <s, d> / <s, s> over centred points: in the plane this equals Umeyama
    1991 without a singular value decomposition, and cannot mirror. A robust fit (LMEDS) was
    measured too: recognition was less accurate.
    """
    s = source[:, 0] + 1j * source[:, 1].astype(np.float64)
    d = target[:, 0] + 1j * target[:, 1].astype(np.float64)
    centred = s - s.mean()
    a = np.vdot(centred, d - d.mean()) / max(float(np.vdot(centred, centred).real), 1e-12)
    b = d.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float32)


def align(image: Image, points_px: Floats, size_px: tuple[int, int]) -> Image:
    """A (height, width) crop of the upright face: its five points at `ARCFACE_112`, scaled."""
    height, width = size_px
    target = (ARCFACE_112 * np.array([width, height]) / TEMPLATE_SIDE).astype(np.float32)
    matrix = similarity(points_px, target)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


def crop(image: Image, box_px: Floats) -> Image:
    """The pixels of a box, black outside the image.

    Shifting the box inside instead would displace every point that is found in the crop.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in box_px)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    inside = image[max(y1, 0) : max(min(y2, height), 0), max(x1, 0) : max(min(x2, width), 0)]
    if inside.shape[:2] == (y2 - y1, x2 - x1):
        return inside
    padded = np.zeros((y2 - y1, x2 - x1, *image.shape[2:]), np.uint8)
    top, left = max(-y1, 0), max(-x1, 0)
    padded[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return padded


def surroundings(image: Image, box_px: Floats, factor: float) -> Image:
    """The pixels of a box enlarged about its centre, moved and shrunk to lie inside the image.

    Unlike `crop` it never pads: a black border looks like the edge of a held-up photo, and a live
    face would count as an attack. Minivision's liveness models were trained on this crop.
    """
    size = np.array([image.shape[1], image.shape[0]]) - 1
    side = np.maximum(box_px[2:] - box_px[:2], 1)
    half = side * min(factor, float((size / side).min())) / 2
    centre = np.clip((box_px[:2] + box_px[2:]) / 2, half, size - half)
    (x1, y1), (x2, y2) = (centre - half).astype(int), (centre + half).astype(int)
    return image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]


def turned(image: Image, degrees: int) -> Image:
    """The image turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90)) if degrees else image


def iou(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = float(width * height)
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return overlap / (sum(areas) - overlap)


def prominence(box_px: Floats, size_px: tuple[int, int]) -> float:
    """How prominent a face is: its area in square pixels, reduced with distance from the centre.

    `size_px` is the picture's (height, width). The largest face is often a bystander
    nearer to the lens: choosing it cost 0.003 of TAR on photos of named people.
    """
    middle = np.array(size_px[::-1], np.float32) / 2
    offset = float(np.linalg.norm((box_px[:2] + box_px[2:]) / 2 - middle)) / float(middle.min())
    return _area(box_px) / (1 + (2 * offset) ** 2)


def by_prominence(found: Sequence[Found], size_px: tuple[int, int]) -> list[Found]:
    """Faces found in a picture of (height, width), the most prominent first."""
    return sorted(found, key=lambda one: -prominence(one[0], size_px))


def dominates(boxes_px: Sequence[Floats], size_px: tuple[int, int]) -> bool:
    """Whether the first face is clearly the one that a picture was taken of.

    It must have DOMINANT_AREA times the area of each other face, and DOMINANT times its
    prominence: a bystander near the lens is large, but not in the middle.
    """
    first, *others = boxes_px
    area, prominent = _area(first), prominence(first, size_px)
    return all(
        area >= DOMINANT_AREA * _area(other) and prominent >= DOMINANT * prominence(other, size_px)
        for other in others
    )


def _area(box_px: Floats) -> float:
    return float(np.prod(box_px[2:] - box_px[:2]))
