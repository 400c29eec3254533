"""A covered lens and a moved camera are known; people, lamps and the night are neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import pytest

from ostiary.edge.core.scene.view import ViewRules
from ostiary.edge.core.scene.watch import SceneWatch
from ostiary.edge.core.types import Floats, Image
from tests.support.inputs.streams import (
    FPS,
    Corridor,
    Over,
    as_jpeg,
    blurred,
    denoised,
    found,
    hand,
    shifted,
)

RULES = ViewRules()
LEARNED_S = RULES.known_s + 6
COVERED_S, MOVED_S = RULES.covered_s + 4, RULES.moved_s + 2 * RULES.same_s + 4


def then(seconds: float, over: Over, before_s: float = LEARNED_S) -> Iterator[Image]:
    """A corridor for long enough to be learned, and then something before the lens."""
    corridor = Corridor()
    return chain(corridor.pictures(before_s), corridor.pictures(seconds, over))


COVERS: dict[str, Over] = {
    "hand": hand,
    "tape": blurred(40),
    "spray": blurred(14, 0.8),
    "black tape": blurred(40, 1e-4),
    "paper": lambda light: np.full_like(light, 0.4),
}


@pytest.mark.parametrize("cover", COVERS)
def test_a_covered_lens(cover: str) -> None:
    corridor = Corridor()
    covered = corridor.pictures(COVERED_S, COVERS[cover])
    pictures = chain(corridor.pictures(LEARNED_S), covered, corridor.pictures(8))
    assert found(pictures) == ["covered", "-covered"]


@pytest.mark.parametrize("cover", ["hand", "black tape"])
def test_a_covered_lens_through_a_temporal_filter_and_jpeg(cover: str) -> None:
    assert found(as_jpeg(denoised(then(COVERED_S + 8, COVERS[cover])), 60)) == ["covered"]


def test_a_cover_that_stays_is_not_learned() -> None:
    assert found(then(80, hand)) == ["covered"]


def test_a_hand_that_passes_covers_nothing() -> None:
    corridor = Corridor()
    passes = corridor.pictures(RULES.covered_s - 3, hand)
    assert found(chain(corridor.pictures(LEARNED_S), passes, corridor.pictures(8))) == []


def test_what_had_no_detail_is_not_covered() -> None:
    """A camera before a blank wall, in even light and in the dark."""
    corridor = Corridor()
    for level in (0.3, 1e-4):
        wall = np.full_like(corridor.light(), level)
        assert found(corridor.picture(wall) for _ in range(40 * FPS)) == []


@pytest.mark.parametrize("right_px", [24, 160])
def test_a_moved_camera(right_px: int) -> None:
    corridor = Corridor()
    away = corridor.pictures(MOVED_S, shifted(right_px))
    pictures = chain(corridor.pictures(LEARNED_S), away, corridor.pictures(8))
    assert found(pictures) == ["moved", "-moved"]


def test_a_new_view_is_never_accepted_by_waiting() -> None:
    assert found(then(2 * MOVED_S, shifted(60))) == ["moved"]


def test_a_new_watch_accepts_the_view() -> None:
    corridor = Corridor()
    assert found(corridor.pictures(LEARNED_S + MOVED_S, shifted(60))) == []


def test_what_comes_and_goes_has_not_moved_the_camera() -> None:
    assert found(then(MOVED_S - 45, shifted(60))) == []


def test_a_mast_that_sways_is_not_moved() -> None:
    corridor = Corridor()
    light = corridor.light()
    swaying = (
        corridor.picture(np.roll(light, round(3 * np.sin(number)), axis=1))
        for number in range(100 * FPS)
    )
    assert found(swaying) == []


CHANGES: dict[str, Callable[[Corridor], Floats]] = {
    "one lamp off": lambda corridor: corridor.light(0.0, 0.25),
    "the other lamp only": lambda corridor: corridor.light(0.5, 0.0),
    "a twentieth of the light": lambda corridor: corridor.light(0.0125, 0.0125),
    "four times the light": lambda corridor: corridor.light(1.0, 1.0),
    "a little glare": lambda corridor: corridor.light() * 0.8 + 0.02,
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_light_is_no_fault(change: str) -> None:
    corridor = Corridor()
    light = CHANGES[change](corridor)
    changed = (corridor.picture(light) for _ in range(round(MOVED_S * FPS)))
    assert found(chain(corridor.pictures(LEARNED_S), changed)) == []


def test_dusk_is_no_fault() -> None:
    corridor = Corridor()
    levels = 0.25 * 10 ** np.linspace(0, -1.7, 80 * FPS)
    assert found(corridor.picture(corridor.light(level, level)) for level in levels) == []


@pytest.mark.parametrize("level", [2e-4, 1e-3, 2e-3, 5e-3, 2e-2])
def test_a_night_that_was_never_brighter_is_no_fault(level: float) -> None:
    corridor = Corridor(8, electrons=2000)
    light = corridor.light(level, level)
    assert found(corridor.picture(light) for _ in range(50 * FPS)) == []


def test_people_who_pass_are_no_fault() -> None:
    corridor = Corridor()
    pictures = chain(corridor.pictures(LEARNED_S), corridor.walked(MOVED_S, 3))
    assert found(pictures) == []


def close(light: Floats) -> Floats:
    """Somebody in plain clothes who stands before the camera, over more than half of it."""
    light = light.copy()
    light[20:, 60:250] = 0.08
    return light


def test_somebody_who_stands_close_for_a_minute_covers_nothing() -> None:
    assert "covered" not in found(then(60, close))


def test_the_reason_says_whether_it_is_dark() -> None:
    for over, level in ((COVERS["paper"], "lit"), (COVERS["black tape"], "dark")):
        watch, reasons = SceneWatch(4.0), []
        for number, picture in enumerate(then(COVERED_S, over)):
            reasons += [change.why for change in watch.look(picture, number / FPS)]
        assert reasons == [f"{level}, without the detail that it had"]
