"""Drawn covers: they hide what they are to hide, and what is harmless hides nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.core.types import Floats, Image
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.covered.covers import COVERS, HARMLESS
from ostiary.export.covered.looks import bare_face, draw
from ostiary.export.covered.varied import backlit, darkened, varied

SEEDS = 12
PARTS = (slice(36, 42), slice(42, 48), slice(30, 36), slice(48, 60))
"""The landmarks of each eye, the nose and the mouth."""


@pytest.fixture(scope="module")
def drawn_on(
    pipeline: Pipeline, portrait: Image, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Image, Floats]:
    """The portrait as covers are drawn on it, and its landmarks."""
    file = tmp_path_factory.mktemp("portrait") / "portrait.png"
    cv2.imwrite(str(file), portrait)
    found = bare_face(pipeline, Path(file))
    assert found is not None
    return found[0], found[2]


def hidden(photo: Image, drawn: Image, points: Floats, least: int) -> float:
    """The share of the most hidden part of the face whose pixels have changed by `least`."""
    moved = np.abs(drawn.astype(int) - photo).max(2) >= least
    found = []
    for part in PARTS:
        inside = np.zeros(photo.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(np.round(points[part]).astype(np.int32)), 1)
        found.append(float(moved[inside > 0].mean()))
    return max(found)


@pytest.mark.parametrize("kind", COVERS)
def test_a_cover_hides_a_part_of_the_face(kind: str, drawn_on: tuple[Image, Floats]) -> None:
    photo, points = drawn_on
    shares = [
        hidden(photo, draw(photo, points, kind, np.random.default_rng(seed)), points, 8)
        for seed in range(SEEDS)
    ]
    assert np.mean([share > 0.7 for share in shares]) >= 0.9, shares


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_is_harmless_leaves_eyes_nose_and_mouth(
    kind: str, drawn_on: tuple[Image, Floats]
) -> None:
    photo, points = drawn_on
    shares = [
        hidden(photo, draw(photo, points, kind, np.random.default_rng(seed)), points, 40)
        for seed in range(SEEDS)
    ]
    assert np.mean([share < 0.5 for share in shares]) >= 0.9, shares


def test_the_same_seed_draws_the_same(drawn_on: tuple[Image, Floats]) -> None:
    photo, points = drawn_on
    first, again, other = (
        draw(photo, points, "surgical mask", np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert (photo == drawn_on[0]).all()


def test_other_lights_keep_the_crop_a_crop(drawn_on: tuple[Image, Floats]) -> None:
    crop = np.ascontiguousarray(drawn_on[0][:112, :112])
    for seed in range(40):
        made = varied(crop, np.random.default_rng(seed))
        assert made.shape == crop.shape
        assert made.dtype == np.uint8
        assert (made == varied(crop, np.random.default_rng(seed))).all()
    assert darkened(crop, 2).mean() == pytest.approx(crop.mean() / 4, abs=1)
    behind = backlit(crop)
    assert behind[:4, :4].mean() > 200
    assert behind[50:62, 50:62].mean() == pytest.approx(crop[50:62, 50:62].mean() / 4, abs=2)
