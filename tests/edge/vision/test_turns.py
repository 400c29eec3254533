"""Turned photos: turned upright before they are enrolled or compared, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry, quality
from ostiary.edge.core.faces.quality import Limits, Quality
from ostiary.edge.core.faces.upright import DEGREES, HangRules
from ostiary.edge.core.types import Face, Frame, Image
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.vision.batch import UPRIGHT_NEEDED, embed_photo
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.turns import CameraWatch, as_upright_as_it_gets, turn_upright
from tests.support.fakes import face_at
from tests.support.places import write_png


@pytest.mark.parametrize("degrees", DEGREES)
def test_a_turned_photo_gives_the_template_of_the_upright_one(
    pipeline: Pipeline, portrait: Image, degrees: int
) -> None:
    upright = enroll(pipeline, "a", [("it", portrait)], Limits())
    told: list[str] = []
    shown = geometry.turned(portrait, (360 - degrees) % 360)
    made = enroll(pipeline, "a", [("it", shown)], Limits(), told.append)
    assert np.allclose(made.embedding, upright.embedding, atol=1e-6)
    said = f"it: turned by {degrees} degrees, so that the face is upright"
    assert told == ([said] if degrees else [])


def test_a_turned_face_is_no_usable_frame(pipeline: Pipeline, portrait: Image) -> None:
    for degrees in DEGREES:
        shown = geometry.turned(portrait, degrees)
        for face in pipeline.find(shown):
            measured = pipeline.quality(face, pipeline.align(shown, face))
            failed = quality.failures(measured, Limits())
            assert (quality.NOT_UPRIGHT in failed) == (degrees != 0)


def test_a_head_tilted_within_the_limit_is_upright(pipeline: Pipeline, portrait: Image) -> None:
    middle = (portrait.shape[1] / 2, portrait.shape[0] / 2)
    for tilt in (-30, -15, 15, 30):
        matrix = cv2.getRotationMatrix2D(middle, tilt, 1.0)
        leaning = cv2.warpAffine(portrait, matrix, portrait.shape[1::-1])
        (face, *_) = pipeline.find(np.asarray(leaning, np.uint8))
        assert face.upright is not None
        assert face.upright >= 0


class Seeing:
    """A pipeline that finds faces by the value of the picture's upper left corner."""

    precision = "float"
    sharpness = 300.0

    def __init__(self, faces: dict[int, list[Face]], lead: float | None = 3.0) -> None:
        self._faces = faces
        self.bundle = SimpleNamespace(upright=None if lead is None else SimpleNamespace(lead=lead))
        self.asked = 0

    def find(self, image: Image) -> list[Face]:
        self.asked += 1
        return self._faces.get(int(image[0, 0, 0]), [])

    def align(self, image: Image, face: Face) -> Image:
        return image

    def quality(self, face: Face, aligned: Image) -> Quality:
        return Quality(60.0, 0.1, 2.0, self.sharpness, 120.0, 45.0, face.upright)

    def embed(self, aligned: Image) -> None:
        raise AssertionError("a turned face was embedded")


def corners() -> Image:
    """A picture with 0, 1, 2 or 3 in its upper left corner if turned by 0, 90, 180, 270 degrees."""
    made = np.zeros((8, 8, 3), np.uint8)
    for value, at in enumerate([(0, 0), (7, 0), (7, 7), (0, 7)]):
        made[at] = value
    return made


def looking(upright: float) -> Face:
    return replace(face_at(1, 1, 4), upright=upright, score=0.999)


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        ({}, "no-face"),
        ({0: [-3.0]}, "not-upright"),
        ({0: [5.0], 2: [4.0]}, "not-upright"),
        ({0: [-3.0, -3.0]}, "two-faces"),
        ({0: [-9.0], 1: [5.0, 5.0]}, "two-faces"),
    ],
)
def test_what_no_turn_shows_clearly_is_refused(looks: dict[int, list[float]], reason: str) -> None:
    seeing: Any = Seeing({at: [looking(value) for value in of] for at, of in looks.items()})
    with pytest.raises(EnrollmentRefused, match="it: ") as caught:
        enroll(seeing, "a", [("it", corners())], Limits())
    assert caught.value.reason == reason


def test_a_blurred_photo_is_called_blurred() -> None:
    seeing: Any = Seeing({0: [looking(-3.0)]})
    seeing.sharpness = 1.0
    with pytest.raises(EnrollmentRefused, match="blurred") as caught:
        enroll(seeing, "a", [("it", corners())], Limits())
    assert caught.value.reason == "low-quality"


def test_without_a_head_the_detector_refuses_and_turns_nothing() -> None:
    def scored(score: float) -> list[Face]:
        return [replace(face_at(1, 1, 4), upright=None, score=score)]

    seeing: Any = Seeing({0: scored(0.8), 2: scored(0.99)}, lead=None)
    with pytest.raises(EnrollmentRefused, match="turned by 180 degrees") as caught:
        enroll(seeing, "a", [("it", corners())], Limits())
    assert caught.value.reason == "not-upright"
    upright = turn_upright(Seeing({0: scored(0.99), 2: scored(0.8)}, lead=None), corners())  # type: ignore[arg-type]
    assert upright is not None
    assert upright.degrees == 0
    assert as_upright_as_it_gets(seeing, corners()).degrees == 0


def test_a_surely_upright_photo_is_looked_at_once() -> None:
    seeing: Any = Seeing({0: [looking(9.0)]})
    assert as_upright_as_it_gets(seeing, corners()).degrees == 0
    assert seeing.asked == 1


def test_a_photo_that_cannot_be_turned_upright_is_not_embedded(tmp_path: Any) -> None:
    file = write_png(tmp_path / "it.png", np.zeros((40, 40, 3), np.uint8))
    found = embed_photo(Seeing({0: [looking(-1.0)]}), file)  # type: ignore[arg-type]
    assert (found.embedding, found.problem) == (None, UPRIGHT_NEEDED)


def shown_to(watch: CameraWatch, pipeline: Any, count: int, start_s: float = 0.0) -> None:
    for index in range(count):
        frame = Frame(corners(), start_s + index * (HangRules().every_s + 0.01), index)
        watch.see(frame, pipeline.find(frame.image))


def test_faces_that_only_another_turn_shows_upright_turn_the_camera() -> None:
    turned: Any = Seeing({0: [looking(-5.0)], 3: [looking(5.0)]})
    watch = CameraWatch(turned)
    shown_to(watch, turned, HangRules().window)
    assert watch.turn == 270
    upright: Any = Seeing({0: [looking(5.0)]})
    shown_to(watch, upright, HangRules().back, start_s=100.0)
    assert watch.turn == 0


def test_a_turned_photo_beside_an_upright_face_turns_no_camera() -> None:
    both: Any = Seeing({0: [looking(-5.0), looking(5.0)], 2: [looking(9.0)]})
    watch = CameraWatch(both)
    shown_to(watch, both, 20)
    assert watch.turn == 0


def test_faces_that_the_detector_finds_in_another_turn_only_turn_it_too() -> None:
    found: Any = Seeing({2: [looking(9.0)]})
    watch = CameraWatch(found)
    shown_to(watch, found, HangRules().window)
    assert watch.turn == 180


def test_an_empty_place_and_a_pattern_on_the_wall_turn_no_camera() -> None:
    pattern = replace(looking(9.0), score=0.7)
    for seeing in (Seeing({}), Seeing({2: [pattern]})):
        watch = CameraWatch(seeing)  # type: ignore[arg-type]
        shown_to(watch, seeing, 20)
        assert watch.turn == 0


def test_the_four_turns_are_asked_twice_a_second_at_most() -> None:
    seeing: Any = Seeing({2: [looking(9.0)]})
    watch = CameraWatch(seeing)
    for index in range(30):
        watch.see(Frame(corners(), index / 15, index), [])
    assert seeing.asked == 4 * len(DEGREES)


@pytest.mark.data
def test_no_turned_photo_of_real_people_is_taken_as_it_is(
    pipeline: Pipeline, faces_data: Any
) -> None:
    """Every tenth person; `ostiary-export check-upright` counts all of them."""
    files = [sorted(folder.iterdir())[0] for folder in sorted(faces_data.iterdir())[::10]]
    refused = 0
    for file in files:
        photo = read_photo(file)
        degrees = [turn_upright(pipeline, geometry.turned(photo, turn)) for turn in DEGREES]
        kept = [
            (turn, found.degrees) for turn, found in zip(DEGREES, degrees, strict=True) if found
        ]
        assert all((turn + found) % 360 == 0 for turn, found in kept), file.name
        refused += len(DEGREES) - len(kept)
    assert refused <= 0.01 * len(files) * len(DEGREES) + len(DEGREES)
