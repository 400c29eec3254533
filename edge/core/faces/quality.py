"""Names what makes a face unfit to be compared; quality never changes a score."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ostiary.edge.core.types import Face, Floats, Image


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a usable face. `ostiary-export evaluate` measures the share that they refuse."""

    min_eye_distance_px: float = 16.0
    max_turn: float = 0.6
    max_tilt_deg: float = 40.0
    min_sharpness: float = 25.0
    min_brightness: float = 30.0
    max_brightness: float = 235.0
    min_contrast: float = 12.0


@dataclass(frozen=True, slots=True)
class Quality:
    """The measures of one face. `turn` is 0 for a frontal face and about 1 in profile, `sharpness`
    the variance of the Laplacian of the aligned crop; brightness and contrast are in 0..255."""

    eye_distance_px: float
    turn: float
    tilt_deg: float
    sharpness: float
    brightness: float
    contrast: float


def turn_of(points_px: Floats) -> float:
    """Distance of the nose from the middle of the eyes, along their line, in half eye distances."""
    right, left, nose = points_px[0], points_px[1], points_px[2]
    axis = left - right
    length = max(float(np.linalg.norm(axis)), 1e-6)
    along = float((nose - (right + left) / 2) @ axis) / length
    return abs(along) / (length / 2)


def measure(face: Face, aligned: Image) -> Quality:
    """The quality of a face, from its points and its aligned crop."""
    eyes = face.points_px[1] - face.points_px[0]
    grey = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY))
    side = grey.shape[0] // 8
    centre = grey[side:-side, side:-side] if side else grey
    return Quality(
        eye_distance_px=float(np.linalg.norm(eyes)),
        turn=turn_of(face.points_px),
        tilt_deg=abs(float(np.degrees(np.arctan2(eyes[1], eyes[0])))),
        sharpness=float(np.asarray(cv2.Laplacian(centre, cv2.CV_32F)).var()),
        brightness=float(centre.mean()),
        contrast=float(centre.std()),
    )


def failures(quality: Quality, limits: Limits) -> tuple[str, ...]:
    """The names of the limits that a face breaks; empty if the face is usable."""
    found = {
        "too-small": quality.eye_distance_px >= limits.min_eye_distance_px,
        "turned": quality.turn <= limits.max_turn,
        "tilted": quality.tilt_deg <= limits.max_tilt_deg,
        "blurred": quality.sharpness >= limits.min_sharpness,
        "too-dark": quality.brightness >= limits.min_brightness,
        "too-bright": quality.brightness <= limits.max_brightness,
        "flat": quality.contrast >= limits.min_contrast,
    }
    # Written as the limits that hold, so that a measure of NaN breaks its limit.
    return tuple(name for name, kept in found.items() if not kept)
