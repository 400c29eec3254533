"""A large frame is searched tile by tile: distant faces are found, followed, and counted once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ostiary.edge.core.faces import preprocess
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.search import TILES_A_FRAME, FaceSearch

FULL_HD = (1080, 1920)


@pytest.fixture
def unshrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that tells where its pixels are must not be averaged."""
    monkeypatch.setattr(preprocess, "halved", lambda image, _size: image)


class Seen:
    """A detector of 320x240 that finds each `face`, a box of the frame, if it is large enough in
    the picture that it is shown; the frame's pixels say where a part of it lies."""

    bundle = SimpleNamespace(model=lambda _name: SimpleNamespace(size_px=(240, 320)))

    def __init__(self, faces: list[Floats]) -> None:
        self.faces, self.shown = faces, list[tuple[int, int, int, int]]()

    def boxes(self, image: Image) -> list[Found]:
        height, width = image.shape[:2]
        x, y = int(image[0, 0, 0]) * 8, int(image[0, 0, 1]) * 8
        x, y = x + int(image[0, 0, 2]) // 16, y + int(image[0, 0, 2]) % 16
        self.shown.append((x, y, x + width, y + height))
        found = []
        for face in self.faces:
            box = face - np.array([x, y, x, y], np.float32)
            inside = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
            visible = np.prod(np.maximum(inside[2:] - inside[:2], 0)) / np.prod(box[2:] - box[:2])
            if visible > 0.4 and (box[2] - box[0]) * 320 / width >= 14:
                found.append((inside, 0.9))
        return found


def frame(size: tuple[int, int] = FULL_HD) -> Image:
    """A frame each of whose pixels knows where it is, to a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.dstack([x // 8, y // 8, (x % 8) * 16 + y % 8]).astype(np.uint8)


def box(x: float, y: float, width: float) -> Floats:
    return np.array([x, y, x + width, y + 1.3 * width], np.float32)


def searched(faces: list[Floats], frames: int, fps: float = 15.0) -> tuple[Seen, list[list[Found]]]:
    seen: Any = Seen(faces)
    search, image = FaceSearch(seen, 16.0), frame()
    found = [search.boxes(image, number / fps) for number in range(frames)]
    return seen, found


@pytest.mark.usefixtures("unshrunk")
def test_the_whole_frame_and_two_tiles_are_looked_at_and_all_tiles_within_half_a_second() -> None:
    seen, _ = searched([], 3)
    assert len(seen.shown) == 3 * (1 + TILES_A_FRAME)
    assert seen.shown[0] == (0, 0, 1920, 1080)
    tiles = {view for view in seen.shown if view != (0, 0, 1920, 1080)}
    assert len(tiles) == 6


@pytest.mark.usefixtures("unshrunk")
@pytest.mark.parametrize(("x", "y"), [(30, 30), (900, 500), (640, 500), (1850, 1000), (700, 520)])
def test_a_distant_face_is_found_once_and_where_it_is(x: float, y: float) -> None:
    face = box(x, y, 38)
    _, found = searched([face], 15)
    assert all(len(one) <= 1 for one in found)
    hits = [one[0][0] for one in found if one]
    assert hits
    assert all((hit == face).all() for hit in hits)


@pytest.mark.usefixtures("unshrunk")
def test_a_distant_face_is_followed_from_then_on() -> None:
    _, found = searched([box(900, 300, 38)], 30)
    first = next(number for number, one in enumerate(found) if one)
    assert first <= 3
    assert all(found[first:])


@pytest.mark.usefixtures("unshrunk")
def test_a_near_face_is_the_wholes_and_no_tile_adds_a_part_of_it() -> None:
    near = box(500, 300, 400)
    _, found = searched([near], 10)
    assert all(len(one) == 1 and (one[0][0] == near).all() for one in found)


def test_a_small_frame_is_looked_at_once() -> None:
    seen: Any = Seen([])
    search = FaceSearch(seen, 16.0)
    search.boxes(frame((480, 640)), 0.0)
    assert len(seen.shown) == 1
    assert search.least_eye_px == 13.0


def test_a_camera_that_changes_its_size_gets_other_tiles() -> None:
    seen: Any = Seen([])
    search = FaceSearch(seen, 16.0)
    assert search.least_eye_px == 0.0
    search.boxes(frame((2160, 3840)), 0.0)
    assert search.least_eye_px > 16.0
    search.boxes(frame(), 0.1)
    assert search.least_eye_px == 16.0


def test_the_real_detector_finds_a_small_face_in_a_full_hd_frame(
    pipeline: Pipeline, portrait: Image
) -> None:
    (face,) = pipeline.find(portrait)
    scale = 16.0 / float(np.linalg.norm(face.points_px[1] - face.points_px[0]))
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = np.full((*FULL_HD, 3), 120, np.uint8)
    room[200 : 200 + small.shape[0], 1300 : 1300 + small.shape[1]] = small
    assert pipeline.boxes(room) == []
    search = FaceSearch(pipeline, 16.0)
    found = [search.boxes(room, number / 15) for number in range(4)]
    assert sum(map(len, found)) >= 1
    (box_px, _), *_ = next(one for one in found if one)
    middle = (box_px[:2] + box_px[2:]) / 2
    expected = np.array([1300, 200]) + (face.box_px[:2] + face.box_px[2:]) / 2 * scale
    assert np.abs(middle - expected).max() < 6
