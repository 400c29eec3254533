"""Quality, PAD and raw detections."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.faces import detection, quality
from ostiary.edge.core.faces.quality import Limits, Quality
from ostiary.edge.core.types import Face, Image
from ostiary.edge.vision.pipeline import Pipeline
from tests.support.fakes import face_at

GOOD = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"eye_distance_px": 6.0}, "too-small"),
        ({"turn": 1.1}, "turned"),
        ({"tilt_deg": 60.0}, "tilted"),
        ({"sharpness": 1.0}, "blurred"),
        ({"brightness": 4.0}, "too-dark"),
        ({"noise": 0.2}, "too-dark"),
        ({"brightness": 250.0}, "too-bright"),
        ({"contrast": 2.0}, "flat"),
        ({"upright": -0.1}, "not-upright"),
        ({"covered": 0.0}, "covered"),
    ],
)
def test_each_limit_has_a_name(change: dict[str, float], name: str) -> None:
    assert quality.failures(GOOD, Limits()) == ()
    assert quality.failures(replace(GOOD, **change), Limits()) == (name,)


def test_a_bare_face_is_covered_by_nothing() -> None:
    assert quality.failures(replace(GOOD, covered=-0.1), Limits()) == ()


@pytest.mark.parametrize(
    ("failed", "covered"),
    [
        (["covered"], True),
        (["covered", "turned", "tilted"], True),
        (["covered", "blurred"], False),
        (["covered", "not-upright"], True),
        (["blurred"], False),
        ([], False),
    ],
)
def test_only_a_face_that_is_seen_well_is_called_covered(failed: list[str], covered: bool) -> None:
    assert quality.is_covered(failed) is covered


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"eye_distance_px": 20.0}, ("too-small",)),
        ({"turn": 0.5}, ("turned",)),
        ({"tilt_deg": 30.0}, ("tilted",)),
        ({"sharpness": 100.0}, ("blurred",)),
        ({}, ()),
    ],
)
def test_a_face_to_learn_from_must_be_better_than_usable(
    change: dict[str, float], names: tuple[str, ...]
) -> None:
    shown = replace(GOOD, **change)
    assert quality.failures(shown, Limits()) == ()
    assert quality.failures(shown, quality.demanding(Limits())) == names


def test_a_template_is_of_a_better_face_than_a_frame_in_no_better_light() -> None:
    strict = quality.for_template(Limits())
    assert quality.failures(replace(GOOD, eye_distance_px=15.0), strict) == ("too-small",)
    assert quality.failures(replace(GOOD, turn=0.7), strict) == ("turned",)
    assert quality.failures(replace(GOOD, sharpness=60.0), strict) == ("blurred",)
    assert quality.failures(replace(GOOD, brightness=8.0, contrast=5.0), strict) == ()
    site = replace(Limits(), min_eye_distance_px=40.0, max_turn=0.3)
    assert quality.for_template(site).min_eye_distance_px == 40.0
    assert quality.for_template(site).max_turn == 0.3


def test_turn_is_zero_frontal_and_grows_as_the_nose_leaves_the_middle() -> None:
    points = face_at(0, 0).points_px
    assert quality.turn_of(points) == pytest.approx(0.0, abs=1e-6)
    aside = points.copy()
    aside[2, 0] = points[1, 0]
    assert quality.turn_of(aside) == pytest.approx(1.0, abs=1e-5)
    aside[2, 0] = points[0, 0]
    assert quality.turn_of(aside) == pytest.approx(1.0, abs=1e-5)


def test_blur_dark_and_tilt_are_measured(portrait: Image, pipeline: Pipeline) -> None:
    face = pipeline.find(portrait)[0]
    aligned = pipeline.align(portrait, face)
    sharp = quality.measure(face, aligned)
    soft = quality.measure(face, np.asarray(cv2.GaussianBlur(aligned, (0, 0), 4)))
    black = quality.measure(face, (aligned * 0.01).astype(np.uint8))
    assert quality.failures(sharp, Limits()) == ()
    assert soft.sharpness < sharp.sharpness / 5
    assert quality.failures(black, Limits()) == ("too-dark", "flat")
    dark = quality.measure(face, (aligned * 0.1).astype(np.uint8))
    assert quality.failures(dark, quality.for_template(Limits())) == ()
    for side in (0.6, -0.6):
        leaning = face.points_px @ np.array([[0.8, side], [-side, 0.8]], np.float32)
        assert quality.measure(Face(face.box_px, leaning, 1.0), aligned).tilt_deg > 30


def test_a_measure_of_nan_breaks_its_limit() -> None:
    nan = float("nan")
    broken = quality.failures(Quality(*[nan] * 9), Limits())
    assert len(broken) == 9


def test_boxes_are_suppressed_scaled_and_sorted() -> None:
    corners = np.array(
        [[[0.1, 0.1, 0.3, 0.4], [0.11, 0.1, 0.31, 0.4], [0.6, 0.5, 0.8, 0.9], [0, 0, 1, 1]]]
    ).astype(np.float32)
    face = np.array([0.8, 0.95, 0.9, 0.2])
    scores = np.stack([1 - face, face], axis=1)[None].astype(np.float32)
    found = detection.boxes(scores, corners, (200, 100), 0.65, 0.4)
    assert [round(score, 2) for _, score in found] == [0.95, 0.9]
    assert found[0][0].tolist() == pytest.approx([11, 20, 31, 80])
    assert detection.boxes(scores, corners, (200, 100), 0.99, 0.4) == []


@given(st.integers(0, 1000))
def test_five_points_are_the_means_of_their_groups(seed: int) -> None:
    points = np.random.default_rng(seed).random((68, 2)).astype(np.float32)
    box = np.array([10.7, 20.2, 110.9, 220.1], np.float32)
    got = detection.five_points(points.reshape(1, 136), box)
    placed = points * [100, 200] + [10, 20]
    groups = [[37, 38, 40, 41], [43, 44, 46, 47], [30], [48, 60], [54, 64]]
    expected = [np.mean([placed[i] for i in group], axis=0) for group in groups]
    assert np.allclose(got, expected, atol=1e-3)
