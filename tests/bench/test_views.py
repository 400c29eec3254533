"""Rooms with distant people and crowds: what is set into a picture is what is looked for."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

from bench.views import crowd, far
from bench.views.scenes import Shot, put, room, size_of
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.types import Image
from ostiary.edge.vision.pipeline import Pipeline


@pytest.fixture(scope="module")
def shot(pipeline: Pipeline, portrait: Image) -> Shot:
    (face,) = pipeline.find(portrait)
    eye_px = float(np.linalg.norm(face.points_px[1] - face.points_px[0]))
    template = pipeline.embed(pipeline.align(portrait, face))
    return Shot("eileen", portrait, eye_px, template)


def test_a_person_is_set_in_at_the_asked_distance_and_found_there(
    pipeline: Pipeline, shot: Shot
) -> None:
    picture = room((480, 640), np.random.default_rng(1))
    assert pipeline.boxes(picture) == []
    place = put(picture, shot, 24.0, (200, 60))
    (face,) = pipeline.find(picture)
    eyes = float(np.linalg.norm(face.points_px[1] - face.points_px[0]))
    assert eyes == pytest.approx(24.0, rel=0.15)
    assert (place[:2] < face.box_px[:2]).all()
    assert (place[2:] - place[:2] == size_of(shot, 24.0)[::-1]).all()


def test_a_distant_face_is_counted_as_found_by_its_place(pipeline: Pipeline, shot: Shot) -> None:
    args = Namespace(seed=0, fps=4.0)
    seen = far.measure(pipeline, [shot], "1280x720", 20, args)
    assert (seen.within_1_s.value, seen.least_eye_px) == (1.0, 16.0)
    hidden = far.measure(pipeline, [shot], "1280x720", 5, args)
    assert hidden.within_1_s.value == 0.0


def test_the_enrolled_one_of_a_crowd_is_let_in_and_a_stranger_is_not(
    pipeline: Pipeline, shot: Shot
) -> None:
    args = Namespace(seed=0, fps=5.0, crowds=1, count=1, k=1, size="640x480")
    for mode in Mode:
        rates = crowd.measure(pipeline, [shot], mode, args)
        assert (rates.in_time.value, rates.others_let_in) == (1.0, 0)
    other = Shot("other", shot.cut, shot.eye_px, -shot.template)
    refused = crowd.measure(pipeline, [other], Mode.IDENTIFY, args)
    assert (refused.ever.value, refused.grant_s_p50) == (0.0, None)
