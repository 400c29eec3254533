"""The verdict of PAD: two kinds of cues that must both say that a face lives, over some time."""

import math

import pytest

from ostiary.edge.core.pad.liveness import MOTION, PASSIVE, Liveness
from ostiary.edge.core.pad.rules import CueRules, PadRules, Presentation, Scale

ATTACK, BONA_FIDE, UNDECIDED = Presentation.ATTACK, Presentation.BONA_FIDE, Presentation.UNDECIDED
PASSIVE_RULES = CueRules({"pad": Scale(4.0, 2.0)}, live=-1.0, attack=-3.0)
MOTION_RULES = CueRules({"a": Scale(0.0, 1.0), "b": Scale(0.0, 1.0)}, live=-0.5, attack=-2.0)
BOTH = PadRules(
    PASSIVE_RULES, MOTION_RULES, frame=-1.5, restart=-4.0, frames=3, pairs=2, span_s=1.5
)
LIVE, WEAK, DEAD = {"pad": 4.0}, {"pad": 1.2}, {"pad": -6.0}
MOVES, STIFF = {"a": 0.5, "b": 0.5}, {"a": -1.0, "b": -1.0}


def seen(
    rules: PadRules,
    frames: list[dict[str, float]],
    pairs: list[dict[str, float]],
    step_s: float = 0.5,
) -> Liveness:
    one = Liveness(rules)
    for number, cues in enumerate(frames):
        one.look(cues, number * step_s)
        if 0 < number <= len(pairs):
            one.moved(pairs[number - 1], number * step_s)
    return one


def test_both_kinds_of_cues_and_the_time_make_a_face_bona_fide() -> None:
    one = seen(BOTH, [LIVE] * 4, [MOVES] * 3)
    verdict = one.verdict(1.5)
    assert verdict.presentation is BONA_FIDE
    assert verdict.scores == {PASSIVE: pytest.approx(0.0), MOTION: pytest.approx(0.5)}
    assert seen(BOTH, [LIVE] * 3, [MOVES] * 2).verdict(1.0).presentation is UNDECIDED
    assert seen(BOTH, [LIVE] * 4, [MOVES]).verdict(1.5).presentation is UNDECIDED
    assert seen(BOTH, [LIVE] * 2, [MOVES], 1.0).verdict(1.5).presentation is UNDECIDED


def test_no_kind_of_cue_rescues_the_other() -> None:
    lively = {"a": 50.0, "b": 50.0}
    assert seen(BOTH, [WEAK] * 4, [lively] * 3).verdict(1.5).presentation is UNDECIDED
    assert seen(BOTH, [{"pad": 90.0}] * 4, [STIFF] * 3).verdict(1.5).presentation is UNDECIDED
    assert MOTION_RULES.score({"a": 50.0, "b": -2.0}) == -0.5, "nor a cue of the same kind"


def test_what_is_not_live_in_time_is_an_attack() -> None:
    one = seen(BOTH, [LIVE] * 8, [STIFF] * 7)
    assert [one.verdict(at_s).presentation for at_s in (2.9, 3.0)] == [UNDECIDED, ATTACK]


@pytest.mark.parametrize(
    ("frames", "pairs"),
    [([DEAD] * 3, []), ([LIVE] * 3, [{"a": -9.0, "b": -9.0}]), ([{"pad": math.nan}] * 3, [])],
)
def test_a_clear_attack_is_told_at_once(
    frames: list[dict[str, float]], pairs: list[dict[str, float]]
) -> None:
    assert seen(BOTH, frames, pairs).verdict(1.0).presentation is ATTACK


def test_an_attack_holds_whatever_is_shown_next() -> None:
    one = seen(BOTH, [DEAD] * 3, [])
    assert one.verdict(1.0).presentation is ATTACK
    one.start_over()
    for number in range(20):
        one.look(LIVE, 2.0 + number / 2)
        one.moved(MOVES, 2.0 + number / 2)
    assert one.verdict(11.5).presentation is ATTACK


def test_a_frame_that_looks_like_an_attack_starts_the_evidence_over() -> None:
    one = seen(BOTH, [LIVE] * 4, [MOVES] * 3)
    assert one.verdict(1.5).presentation is BONA_FIDE
    assert not one.restarted
    one.look(DEAD, 2.0)
    assert one.restarted
    assert not one.newest_lived
    assert one.verdict(2.0).presentation is UNDECIDED
    for number in range(3):
        one.look(LIVE, 2.5 + number / 2)
        one.moved(MOVES, 2.5 + number / 2)
    assert one.verdict(3.0).presentation is UNDECIDED, "the time counts anew"


def test_a_frame_lends_its_embedding_only_if_it_looked_live() -> None:
    one, lived = Liveness(BOTH), []
    for cues in (LIVE, WEAK, {"pad": 0.9}):
        one.look(cues, 0.0)
        lived.append(one.newest_lived)
    assert lived == [True, True, False]


def test_the_newest_frame_alone_must_look_live_too() -> None:
    one = seen(BOTH, [LIVE] * 5 + [{"pad": 0.5}], [MOVES] * 3)
    assert one.verdict(2.5).presentation is UNDECIDED


def test_old_looks_do_not_count() -> None:
    one = seen(BOTH, [LIVE] * 4, [MOVES] * 3)
    assert one.verdict(6.0).presentation is UNDECIDED


def test_a_face_that_was_live_is_an_attack_only_if_it_clearly_becomes_one() -> None:
    one = seen(BOTH, [LIVE] * 4, [MOVES] * 3)
    assert one.verdict(1.5).presentation is BONA_FIDE
    for number in range(12):
        one.look(LIVE, 2.0 + number / 2)
        one.moved(STIFF, 2.0 + number / 2)
    assert one.verdict(7.5).presentation is UNDECIDED


def test_without_motion_frames_alone_decide() -> None:
    passive = PadRules(PASSIVE_RULES, frame=-1.5, frames=3)
    one = seen(passive, [LIVE] * 3, [MOVES] * 2)
    assert one.verdict(1.0).presentation is BONA_FIDE
    assert one.verdict(1.0).scores == {PASSIVE: pytest.approx(0.0)}


def test_starting_over_gives_a_picture_no_new_time() -> None:
    one = Liveness(BOTH)
    told = []
    for number in range(8):
        one.look(DEAD if number in (2, 5) else LIVE, number / 2)
        one.moved(STIFF, number / 2)
        told.append(one.verdict(number / 2).presentation)
    assert told == [UNDECIDED] * 7 + [ATTACK], "as soon as there are three frames again"


def test_a_face_that_was_live_gets_time_after_starting_over() -> None:
    one = seen(BOTH, [LIVE] * 4, [MOVES] * 3)
    assert one.verdict(1.5).presentation is BONA_FIDE
    for number in range(4, 9):
        one.look(DEAD if number == 4 else LIVE, number / 2)
        one.moved(MOVES, number / 2)
    assert one.verdict(4.0).presentation is BONA_FIDE
