"""Which turn of a picture shows its face upright, for photos and for a camera that hangs turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ostiary.edge.core.faces import geometry
from ostiary.edge.core.faces.upright import DEGREES, NONE, CameraHang, best_turn, is_upright
from ostiary.edge.core.types import Face, Frame, Image
from ostiary.edge.vision.pipeline import Pipeline

SURE = 6.0
"""No turned face of the people held out looked as upright as this, and most upright ones do."""
SURE_SCORE = 0.95
"""The least score of a face that says how the camera hangs: a pattern on a wall must not. Of
upright faces 98 % score more than .999."""
LEAST_ODDS = 1e-9
"""Keeps the logit of a detector's score finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Upright:
    """An image turned by `degrees` clockwise, 0 if it was upright already, and its faces."""

    image: Image
    faces: list[Face]
    degrees: int


def turn_upright(pipeline: Pipeline, image: Image) -> Upright | None:
    """The image turned so that its face is upright; None if no turn clearly shows a face so.

    A bundle without a head for this asks the detector's score instead, which is wrong in one photo
    of fifty.
    """
    views = [geometry.turned(image, degrees) for degrees in DEGREES]
    found = [pipeline.find(view) for view in views]
    degrees = best_turn([looks(faces) for faces in found], lead_of(pipeline))
    if degrees is None:
        return None
    at = DEGREES.index(degrees)
    return Upright(views[at], found[at], degrees)


def as_upright_as_it_gets(pipeline: Pipeline, image: Image) -> Upright:
    """The image turned upright if one turn clearly shows its face so, or else as it is.

    For photos that are measured and compared. Other turns are tried only if the face does not look
    surely upright, and none if the bundle has no head for this.
    """
    as_it_is = Upright(image, pipeline.find(image), 0)
    if pipeline.bundle.upright is None or looks(as_it_is.faces) >= SURE:
        return as_it_is
    return turn_upright(pipeline, image) or as_it_is


def looks(faces: Sequence[Face]) -> float:
    """How upright the most prominent face looks; `NONE` without a face."""
    if not faces:
        return NONE
    face = faces[0]
    if face.upright is not None:
        return face.upright
    score = min(max(face.score, LEAST_ODDS), 1 - LEAST_ODDS)
    return math.log(score / (1 - score))


def lead_of(pipeline: Pipeline) -> float:
    """The lead that the best turn needs over the second best."""
    head = pipeline.bundle.upright
    return 0.0 if head is None else head.lead


class CameraWatch:
    """Looks now and then whether the faces before the camera are upright."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._hang = pipeline, CameraHang()

    @property
    def turn(self) -> int:
        """The degrees clockwise by which the camera's picture would have to be turned; 0 if it
        hangs upright, as far as is known."""
        return self._hang.turn

    def see(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Look at a frame in which `faces` were found, if it is time to.

        One upright face is enough: whoever holds a turned photo beside it turns no camera. A frame
        without faces is looked at too, because the detector misses many faces that lie on their
        side.
        """
        if not self._hang.due(frame.at_s):
            return
        if any(face.upright is not None and is_upright(face.upright) for face in faces):
            self._hang.look(0, frame.at_s)
            return
        upright = turn_upright(self._pipeline, frame.image)
        clear = upright is not None and upright.faces[0].score >= SURE_SCORE
        self._hang.look(upright.degrees if upright and clear else None, frame.at_s)
