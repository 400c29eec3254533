"""Names what makes a face unfit to be compared; quality never changes a score."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ostiary.edge.core.faces import exposure
from ostiary.edge.core.faces.covered import is_bare
from ostiary.edge.core.faces.upright import is_upright
from ostiary.edge.core.types import Face, Floats, Image

NOT_UPRIGHT = "not-upright"
COVERED = "covered"
OF_THE_PICTURE = frozenset({"too-small", "blurred", "too-dark", "too-bright", "flat"})
"""Failures that do not depend on how the head is held."""
USUAL_CONTRAST = 40.0
"""The contrast of an ordinary face, at which sharpness is stated."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a usable face, set where the encoder fails more often than not, or where nothing
    was measured: `ostiary-export evaluate --quality` prints what each measure does to a score."""

    min_eye_distance_px: float = 7.0
    max_turn: float = 1.0
    max_tilt_deg: float = 40.0
    min_sharpness: float = 25.0
    min_brightness: float = 5.0
    max_brightness: float = 235.0
    min_contrast: float = 4.0
    max_noise: float = 0.15


TEMPLATE_EYES_PX, TEMPLATE_TURN, TEMPLATE_SHARPNESS = 16.0, 0.6, 3.0
"""Least distance between the eyes, most turn, and how many times sharper than usable the face of a
template must be."""


def for_template(limits: Limits) -> Limits:
    """The limits of a face that somebody is enrolled by: it is compared for years, so that it must
    be larger, sharper and more frontal than one that is merely usable. Light is judged alike."""
    return replace(
        limits,
        min_eye_distance_px=max(limits.min_eye_distance_px, TEMPLATE_EYES_PX),
        max_turn=min(limits.max_turn, TEMPLATE_TURN),
        min_sharpness=TEMPLATE_SHARPNESS * limits.min_sharpness,
    )


def demanding(limits: Limits) -> Limits:
    """The limits of a face that a template may learn from: larger, sharper and more frontal again
    than one that somebody is enrolled by."""
    enrolled = for_template(limits)
    return replace(
        enrolled,
        min_eye_distance_px=1.5 * enrolled.min_eye_distance_px,
        max_turn=enrolled.max_turn / 2,
        max_tilt_deg=enrolled.max_tilt_deg / 2,
        min_sharpness=1.5 * enrolled.min_sharpness,
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """The measures of one face. `turn` is 0 for a frontal face and about 1 in profile. `upright` is
    the face's; `covered` is how covered it looks, 0 or more if it is, and None if the bundle has no
    head for this (`ostiary.edge.core.faces.covered`).

    Sharpness, brightness and contrast are those of the crop as the encoder sees it, so that a dark
    or veiled face that can be cleared is not refused: brightness and contrast in 0..255, sharpness
    ten times the variance of the second derivative along the less sharp axis, at a contrast of 40.
    `noise` is the crop's own, in ranges of its grey values.
    """

    eye_distance_px: float
    turn: float
    tilt_deg: float
    sharpness: float
    brightness: float
    contrast: float
    upright: float | None = None
    noise: float = 0.0
    covered: float | None = None


def turn_of(points_px: Floats) -> float:
    """Distance of the nose from the middle of the eyes, along their line, in half eye distances."""
    right, left, nose = points_px[0], points_px[1], points_px[2]
    axis = left - right
    length = max(float(np.linalg.norm(axis)), 1e-6)
    along = float((nose - (right + left) / 2) @ axis) / length
    return abs(along) / (length / 2)


def measure(face: Face, aligned: Image, covered: float | None = None) -> Quality:
    """The quality of a face, from its points, its aligned crop, cleared or not, and how covered the
    crop looks."""
    eyes = face.points_px[1] - face.points_px[0]
    centre = _centre(exposure.cleared(aligned))
    contrast = float(centre.std())
    return Quality(
        eye_distance_px=float(np.linalg.norm(eyes)),
        turn=turn_of(face.points_px),
        tilt_deg=abs(float(np.degrees(np.arctan2(eyes[1], eyes[0])))),
        sharpness=_sharpness(centre, contrast),
        brightness=float(centre.mean()),
        contrast=contrast,
        upright=face.upright,
        noise=exposure.exposure_of(_centre(aligned)).noise,
        covered=covered,
    )


def _centre(aligned: Image) -> Image:
    """The grey values of a crop without its margin, which is hair and background."""
    grey = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY), np.uint8)
    side = grey.shape[0] // 8
    return np.ascontiguousarray(grey[side:-side, side:-side]) if side else grey


def _sharpness(grey: Image, contrast: float) -> float:
    """Sharpness that exposure does not change; of a picture of one colour 0.

    Blur by movement is in one direction only, so the less sharp axis counts.
    """
    if contrast <= 0:
        return 0.0
    curved = [np.diff(grey.astype(np.float32), 2, axis).var() for axis in (0, 1)]
    return 10 * float(min(curved)) * (USUAL_CONTRAST / contrast) ** 2


def failures(quality: Quality, limits: Limits) -> tuple[str, ...]:
    """The names of the limits that a face breaks; empty if the face is usable."""
    found = {
        NOT_UPRIGHT: is_upright(quality.upright),
        COVERED: is_bare(quality.covered),
        "too-small": quality.eye_distance_px >= limits.min_eye_distance_px,
        "turned": quality.turn <= limits.max_turn,
        "tilted": quality.tilt_deg <= limits.max_tilt_deg,
        "blurred": quality.sharpness >= limits.min_sharpness,
        # Noise where a face should be comes of too little light.
        "too-dark": quality.brightness >= limits.min_brightness
        and quality.noise <= limits.max_noise,
        "too-bright": quality.brightness <= limits.max_brightness,
        "flat": quality.contrast >= limits.min_contrast,
    }
    # Written as the limits that hold, so that a measure of NaN breaks its limit.
    return tuple(name for name, kept in found.items() if not kept)


def is_covered(failed: Collection[str]) -> bool:
    """Whether a face that breaks these limits is unfit because it is covered.

    Of a face that is blurred, dark or small nobody can say so: it must be seen better first. The
    landmarks of a face under goggles or a balaclava often do not look upright, so that is no doubt.
    """
    return COVERED in failed and OF_THE_PICTURE.isdisjoint(failed)
