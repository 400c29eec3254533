"""Whether a face is upright, which turn shows it so, and what many turned faces say of a camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ostiary.edge.core.faces.upright import (
    DEGREES,
    LANDMARKS,
    NONE,
    CameraHang,
    HangRules,
    UprightHead,
    best_turn,
    is_upright,
)

RULES = HangRules()
APART_S = RULES.every_s + 0.01


def test_uprightness_is_the_weighted_sum_of_landmarks() -> None:
    rng = np.random.default_rng(0)
    weights, given = rng.normal(size=LANDMARKS), rng.normal(size=LANDMARKS).astype(np.float32)
    slow = sum(w * float(x) for w, x in zip(weights, given, strict=True)) - 0.5
    assert UprightHead(weights, -0.5).uprightness(given) == pytest.approx(slow)


def test_a_face_that_was_not_asked_is_taken_and_nan_is_not() -> None:
    assert [is_upright(value) for value in (None, 0.0, 1.0)] == [True] * 3
    assert [is_upright(value) for value in (-0.1, math.nan, NONE)] == [False] * 3


@pytest.mark.parametrize(
    ("looks", "turn"),
    [
        ([5.0, -9.0, -8.0, -9.0], 0),
        ([-9.0, 5.0, NONE, -9.0], 90),
        ([-9.0, -9.0, 0.0, -3.0], 180),
        ([NONE, NONE, NONE, 4.0], 270),
        ([5.0, -9.0, 2.5, -9.0], None),
        ([-1.0, -9.0, -9.0, -9.0], None),
        ([math.nan, -9.0, -9.0, -9.0], None),
        ([NONE] * 4, None),
    ],
)
def test_the_best_turn_is_upright_and_clearly_ahead(looks: list[float], turn: int | None) -> None:
    assert best_turn(looks, 3.0) == turn


def watched(turns: Sequence[int | None]) -> list[int]:
    """The camera's turn after each look."""
    hang, now, found = CameraHang(), 100.0, []
    for turn in turns:
        now += APART_S
        assert hang.due(now)
        hang.look(turn, now)
        found.append(hang.turn)
    return found


@pytest.mark.parametrize("degrees", DEGREES[1:])
def test_turned_faces_turn_the_camera_within_ten_seconds(degrees: int) -> None:
    """Also if one look in eight sees an upright face, and one in three is unclear."""
    turns = [None if i % 3 == 2 else 0 if i % 8 == 4 else degrees for i in range(30)]
    first = watched(turns).index(degrees)
    assert (first + 1) * APART_S < 10
    assert watched([degrees] * RULES.agree)[-1] == degrees


def test_a_few_turned_faces_do_not() -> None:
    often = [180] * (RULES.agree - 1) + [0] * (RULES.window - RULES.agree + 1)
    assert set(watched(often * 5)) == {0}
    assert set(watched([90, 180, 270, 180] * 10)) == {0}


def test_upright_faces_in_a_row_end_it_and_it_takes_a_full_window_again() -> None:
    turned = [180] * RULES.window
    assert watched([*turned, 0, 0])[-1] == 180
    assert watched([*turned, 0, 180, 0, 0])[-1] == 180
    seen = watched([*turned, *[0] * RULES.back, *[180] * (RULES.agree - 1)])
    assert seen[-RULES.agree :] == [0] * RULES.agree


def test_faces_are_looked_at_now_and_then_also_if_the_clock_goes_back() -> None:
    hang = CameraHang()
    assert hang.due(5.0)
    hang.look(0, 5.0)
    assert not hang.due(5.0 + RULES.every_s / 2)
    assert hang.due(5.0 + RULES.every_s)
    assert hang.due(1.0)
