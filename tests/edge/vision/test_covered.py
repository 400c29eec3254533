"""Covered faces before the real models: neither enrolled nor compared, while bare ones are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from tests.support.covers import PLAIN


def failures(pipeline: Pipeline, photo: Image) -> tuple[str, ...]:
    face = pipeline.find(photo)[0]
    return quality.failures(pipeline.quality(face, pipeline.align(photo, face)), Limits())


@pytest.fixture(scope="module")
def points(pipeline: Pipeline, portrait: Image) -> Floats:
    """The portrait's 68 landmarks in pixels."""
    box = pipeline.find(portrait)[0].box_px
    found = pipeline.landmarks(portrait, box).reshape(68, 2)
    return np.asarray(found * (box[2:] - box[:2]) + box[:2], np.float32)


@pytest.mark.parametrize("cover", PLAIN)
def test_a_covered_face_is_neither_enrolled_nor_compared(
    pipeline: Pipeline, portrait: Image, points: Floats, cover: str
) -> None:
    drawn = PLAIN[cover](portrait, points)
    assert "covered" in failures(pipeline, drawn)
    with pytest.raises(EnrollmentRefused) as caught:
        enroll(pipeline, "x", [("masked.jpg", drawn)], Limits())
    assert caught.value.reason == "covered"
    assert "masked.jpg" in str(caught.value)


def test_a_bare_face_is_enrolled_in_any_light(pipeline: Pipeline, portrait: Image) -> None:
    assert enroll(pipeline, "x", [("bare.jpg", portrait)], Limits()).photos == 1
    grey = np.repeat(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)[..., None], 3, 2)
    shown = {
        "grey": grey,
        "dark": portrait * 0.25,
        "bright": np.clip(portrait * 1.4, 0, 255),
        "warm": portrait * [0.7, 0.9, 1.0],
        "soft": cv2.GaussianBlur(portrait, (0, 0), 2),
        "mirrored": portrait[:, ::-1],
    }
    for name, photo in shown.items():
        made = np.ascontiguousarray(photo, np.uint8)
        assert "covered" not in failures(pipeline, made), name


def test_a_cover_beside_the_face_is_none(
    pipeline: Pipeline, portrait: Image, points: Floats
) -> None:
    """A mask that was pulled down under the chin."""
    chin = points[8]
    apart = float(np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0)))
    low = np.array([[-1.2, 0.1], [1.2, 0.1], [1.2, 1.2], [-1.2, 1.2]]) * apart + chin
    drawn = portrait.copy()
    cv2.fillPoly(drawn, [np.round(low).astype(np.int32)], (200, 160, 110))
    assert failures(pipeline, drawn) == ()
