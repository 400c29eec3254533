"""Tiles cover the whole picture, overlap, and are no more than the door can look at."""

import numpy as np
import pytest

from ostiary.edge.core.faces import tiling
from ostiary.edge.core.faces.tiling import FOUND_EYE_PX, MOST_TILES, OVERLAP_EYES, plan

DETECTOR = (240, 320)
SIZES = [(720, 1280), (1080, 1920), (1440, 2560), (2160, 3840), (1920, 1080), (600, 4000)]


@pytest.mark.parametrize(("size", "least"), [((480, 640), 13.0), ((240, 320), 6.5)])
def test_a_small_picture_needs_no_tiles(size: tuple[int, int], least: float) -> None:
    assert plan(size, DETECTOR, 16.0) == tiling.Tiling((), least)


@pytest.mark.parametrize(
    ("size", "tiles"), [((720, 1280), 4), ((1080, 1920), 6), ((1440, 2560), 12)]
)
def test_what_is_asked_for_is_found_with_few_tiles(size: tuple[int, int], tiles: int) -> None:
    made = plan(size, DETECTOR, 16.0)
    assert (len(made.tiles), made.least_eye_px) == (tiles, 16.0)


@pytest.mark.parametrize("size", SIZES)
def test_every_tile_is_fine_enough_and_no_pixel_is_left_out(size: tuple[int, int]) -> None:
    made = plan(size, DETECTOR, 16.0)
    seen = np.zeros(size, bool)
    for x1, y1, x2, y2 in made.tiles:
        seen[y1:y2, x1:x2] = True
        coarse = max((y2 - y1 - 1) / DETECTOR[0], (x2 - x1 - 1) / DETECTOR[1])
        assert made.least_eye_px / coarse >= FOUND_EYE_PX
    assert seen.all()
    assert len(made.tiles) <= MOST_TILES


@pytest.mark.parametrize("size", SIZES)
def test_a_face_too_small_for_the_whole_lies_uncut_on_some_tile(size: tuple[int, int]) -> None:
    made = plan(size, DETECTOR, 16.0)
    side = OVERLAP_EYES * FOUND_EYE_PX * max(size[0] / DETECTOR[0], size[1] / DETECTOR[1]) - 2
    for x in np.linspace(0, size[1] - side, 60):
        for y in np.linspace(0, size[0] - side, 60):
            assert any(
                x1 <= x and y1 <= y and x + side <= x2 and y + side <= y2
                for x1, y1, x2, y2 in made.tiles
            )


def test_a_picture_too_large_for_the_tiles_finds_larger_faces_and_says_so() -> None:
    made = plan((2160, 3840), DETECTOR, 16.0)
    assert len(made.tiles) == MOST_TILES
    assert 16.0 < made.least_eye_px < 30.0


def test_whoever_asks_for_larger_faces_pays_for_fewer_tiles() -> None:
    assert len(plan((1440, 2560), DETECTOR, 30.0).tiles) < MOST_TILES
    assert plan((1440, 2560), DETECTOR, 60.0).tiles == ()
