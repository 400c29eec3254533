"""Converts raw detector and landmark outputs to boxes and points in pixels of the frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ostiary.edge.core.types import Floats

Found = tuple[Floats, float]
"""A face's box (4,) in pixels, x1, y1, x2, y2, and the detector's score, 0 to 1."""
GROUPS = ((37, 38, 40, 41), (43, 44, 46, 47), (30,), (48, 60), (54, 64))
"""Indices of the 68 points to average: right eye, left eye, nose tip, right, left mouth corner."""
MEANS = np.array([[(i in group) / len(group) for i in range(68)] for group in GROUPS], np.float32)


def boxes(
    scores: Floats, corners: Floats, size_px: tuple[int, int], min_score: float, max_iou: float
) -> list[Found]:
    """The (box_px, score) of each face, highest score first, after non-maximum suppression.

    `scores` (1, n, 2) are softmax probabilities, [..., 1] for a face; `corners` (1, n, 4) are
    x1, y1, x2, y2 in 0..1; `size_px` is the frame's (height, width).
    """
    height, width = size_px
    face = scores[0, :, 1]
    kept = face >= min_score
    if not kept.any():
        return []
    box = corners[0][kept] * np.array([width, height, width, height], np.float32)
    found = zip(box.astype(np.float32), face[kept].tolist(), strict=True)
    return merged(list(found), max_iou)


def merged(found: Sequence[Found], max_iou: float) -> list[Found]:
    """Of boxes that overlap by more than `max_iou` those with the highest score, which comes first;
    non-maximum suppression."""
    sized = [[*box[:2].tolist(), *(box[2:] - box[:2]).tolist()] for box, _ in found]
    kept = cv2.dnn.NMSBoxes(sized, [score for _, score in found], 0.0, max_iou)
    return [found[i] for i in np.asarray(kept, int).ravel()]


def five_points(output: Floats, box_px: Floats) -> Floats:
    """The five alignment points (5, 2) in pixels of the frame, from 68 points in 0..1 of the box.

    `box_px` is the cropped box, in whole pixels.
    """
    corner = box_px[:2].astype(int)
    size = box_px[2:].astype(int) - corner
    return np.asarray(MEANS @ output.reshape(68, 2) * size + corner, np.float32)
