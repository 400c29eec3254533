"""Draws a decision into its frame: box, points, subject, score, tau and reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.core.types import Decision, Face, Image
from ostiary.edge.files import write_atomically

GREEN, RED, WHITE, BLACK = (80, 200, 80), (60, 60, 230), (255, 255, 255), (0, 0, 0)
BAR_PX = 46
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(image: Image, face: Face | None, decision: Decision) -> Image:
    """A copy of the frame (BGR) with the face marked and the decision written below it."""
    colour = GREEN if decision.granted else RED
    canvas = np.vstack([image, np.zeros((BAR_PX, image.shape[1], 3), np.uint8)])
    if face is not None:
        x1, y1, x2, y2 = (int(v) for v in face.box_px)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2)
        for x, y in face.points_px:
            cv2.circle(canvas, (int(x), int(y)), 2, WHITE, -1)
    top = image.shape[0]
    cv2.rectangle(canvas, (0, top), (canvas.shape[1], canvas.shape[0]), BLACK, -1)
    first = f"{decision.outcome.value} / {decision.reason.value}   {decision.subject or '-'}"
    cv2.putText(canvas, first, (8, top + 18), FONT, 0.5, colour, 1, cv2.LINE_AA)
    cv2.putText(canvas, _numbers(decision), (8, top + 37), FONT, 0.45, WHITE, 1, cv2.LINE_AA)
    return canvas


def _numbers(decision: Decision) -> str:
    if decision.score is None or decision.tau is None:
        return "nothing was compared"
    return f"score {decision.score:.3f}   tau {decision.tau:.3f} for K={decision.k}"


def write_jpeg(path: Path, image: Image) -> None:
    """Write a JPEG atomically. Raises OSError."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    write_atomically(path, data.tobytes())
