"""A replayed trace is judged as a door judges the frames, from a fresh start on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.faces.tracking import Track
from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.liveness import MOTION, PASSIVE
from ostiary.edge.core.pad.motion import CUES, Still
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.types import Frame
from ostiary.edge.presentations.replay import courses, replay, starts, visit
from ostiary.edge.presentations.tracing import Trace, TracedLook
from ostiary.edge.vision.liveness import LivenessWatch
from tests.edge.presentations.made_up import DEAD, LIVE, MOVES, RULES, STIFF, WEAK, made
from tests.support.fakes import face_at, found_at, image

ATTACK, BONA_FIDE, UNDECIDED = Presentation.ATTACK, Presentation.BONA_FIDE, Presentation.UNDECIDED


def test_a_living_face_is_bona_fide_once_it_was_seen_for_long_enough() -> None:
    course = visit(made([LIVE] * 8), RULES, 1.6)
    assert (course.live_s, course.attack_s) == (1.5, None)
    assert course.verdict(1.6) is BONA_FIDE
    assert course.verdict(1.4) is UNDECIDED
    assert course.passes()
    assert not course.passes(1.4)
    assert course.scores == {PASSIVE: pytest.approx(0.0), MOTION: pytest.approx(MOVES)}


def test_a_picture_is_an_attack_by_either_kind_of_cue() -> None:
    for trace in (made([DEAD] * 8), made([LIVE] * 8, STIFF)):
        course = visit(trace, RULES, 1.6)
        assert (course.live_s, course.attack_s) == (None, 1.0)
        assert course.verdict(1.6) is ATTACK
        assert not course.passes()


def test_a_face_that_is_seen_too_little_is_undecided() -> None:
    assert visit(made([LIVE, LIVE, None]), RULES, 1.6).verdict(1.6) is UNDECIDED
    nobody = visit(made([None] * 4), RULES, 1.6)
    assert (nobody.verdict(1.6), nobody.scores) == (UNDECIDED, {})


def test_what_comes_after_an_attack_does_not_pass() -> None:
    later = visit(made([DEAD] * 4 + [LIVE] * 12), RULES, 60.0)
    assert later.attack_s is not None
    assert not later.passes()


def test_time_begins_with_the_first_face() -> None:
    course = visit(made([None] * 3 + [LIVE] * 5), RULES, 1.6)
    assert (course.start_s, course.live_s) == (1.5, 1.5)


def test_each_fresh_start_has_as_much_time_as_it_needs() -> None:
    trace = made([LIVE] * 20, every_s=0.79)
    assert starts(trace, None, 1.6) == [0.0]
    assert starts(trace, 3.16, 1.6) == [0.0, 3.16, 6.32, 9.48, 12.64]
    assert starts(trace, 3.2, 1.6) == [0.0, 3.95, 7.11, 10.27, 13.43]
    assert starts(trace, 3.2, 2.5)[-1] == 10.27
    found = courses(trace, RULES, 3.16, 1.6)
    assert [one.live_s for one in found] == pytest.approx([1.58] * 5)


def test_a_window_knows_nothing_of_the_one_before_and_of_what_comes_after() -> None:
    trace = made([LIVE] * 4 + [DEAD] * 4 + [LIVE] * 4)
    found = courses(trace, RULES, 2.0, 1.6)
    assert [one.verdict(1.6) for one in found] == [BONA_FIDE, ATTACK, BONA_FIDE]
    assert found[0].attack_s is None


class DoorOf:
    """The door's own watch, over frames of which `passive` and `moved` say what the models see."""

    def __init__(self, passive: list[float], moved: Any, at_s: list[float]) -> None:
        self._passive, self._moved, self._at_s = passive, moved, at_s

    def live_and_attack(self) -> tuple[float | None, float | None]:
        pipeline: Any = SimpleNamespace(
            passive=lambda shown, _face, names: dict.fromkeys(names, float(shown[0, 0, 0]))
        )
        watch = LivenessWatch(pipeline, RULES)
        track = Track(1, found_at(10, 10), 0.0, 0.0)
        first: dict[Presentation, float] = {}
        for number, (value, at_s) in enumerate(zip(self._passive, self._at_s, strict=True)):
            shown: Any = image(0).astype(np.float32) + value
            frame = Frame(shown, at_s, number)
            watch.look(frame, track, face_at(10, 10))
            said = watch.judge(frame, track, face_at(10, 10), np.zeros(2, np.float32))
            first.setdefault(said.presentation, at_s)
        return first.get(BONA_FIDE), first.get(ATTACK)


@pytest.mark.parametrize("seed", range(12))
def test_a_replay_is_what_the_door_would_have_said(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Frames at an uneven rate, some of which start the evidence over."""
    rng = np.random.default_rng(seed)
    times = [0.0, *np.round(np.cumsum(rng.uniform(0.05, 0.4, 30)), 3).tolist()]
    passive = [float(v) for v in rng.choice([LIVE, LIVE, LIVE, WEAK, DEAD], len(times))]
    pairs = rng.normal(-0.4, 0.5, (len(times), len(times)))
    at = {time: number for number, time in enumerate(times)}

    def compare(before: Still, now: Still) -> dict[str, float]:
        return dict.fromkeys(CUES, float(pairs[at[before.at_s], at[now.at_s]]))

    looks = []
    for first, time in enumerate(times):
        later = (n for n in range(first + 1, len(times)) if times[n] - time >= RULES.apart_s)
        second = next(later, None)
        moved = None if second is None else dict.fromkeys(CUES, float(pairs[first, second]))
        looks.append(TracedLook(time, {"pad": passive[first]}, moved))
    monkeypatch.setattr(motion, "compare", compare)
    door = DoorOf(passive, pairs, times).live_and_attack()
    course = replay(Trace(len(times), times[-1], times, looks), RULES, 0.0, 1.6)
    assert (course.live_s, course.attack_s) == door
