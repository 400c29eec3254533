"""Where PAD is required, a picture lends neither its face nor its time to anybody."""

from typing import Any

import pytest

from ostiary.edge.core.pad.rules import Presentation
from tests.edge.vision.test_observer import ALICE, ALIVE, BOB, DEAD, WEAK, OneFace, opened, sight

ATTACK, BONA_FIDE, UNDECIDED = Presentation.ATTACK, Presentation.BONA_FIDE, Presentation.UNDECIDED


class Stage:
    """A door with PAD, before which somebody shows one thing after another."""

    def __init__(self, mode: str = "identify") -> None:
        self._pipeline = OneFace()
        self._door = opened(self._pipeline, mode, pad=True)
        self._now_s = 0.0
        self.attacks = 0
        """How often an attack was told."""

    def show(self, face: Any, alive: float, frames: int) -> list[Any]:
        self._pipeline.seen, self._pipeline.alive = face[0], alive
        shown = []
        for _ in range(frames):
            self._now_s += 0.1
            seen = sight(self._door, at_s=self._now_s)
            self.attacks += seen.new_attack
            shown.append(seen.evidence)
        return shown

    def leave(self, seconds: float) -> None:
        self._now_s += seconds


def named(evidence: Any) -> str | None:
    """Whom policy would let in by this frame alone."""
    best = evidence.candidates[0] if evidence.candidates else None
    live = evidence.presentation is BONA_FIDE
    return best.subject if live and best and best.score >= evidence.tau else None


def test_a_living_face_is_compared() -> None:
    shown = Stage().show(BOB, ALIVE, 6)
    assert [one.presentation for one in shown] == [UNDECIDED] * 4 + [BONA_FIDE] * 2
    assert named(shown[-1]) == "bob"
    assert shown[-1].cues["passive"] > 0


@pytest.mark.parametrize("alive", [WEAK, DEAD])
def test_a_photo_lends_its_face_to_nobody(alive: float) -> None:
    stage = Stage()
    photo = stage.show(BOB, alive, 4)
    assert all(one.candidates == () for one in photo)
    own = stage.show(ALICE, ALIVE, 12)
    assert "bob" not in {named(one) for one in own}
    assert "bob" not in {one.candidates[0].subject for one in own if one.candidates}


def test_whoever_showed_a_photo_is_not_let_in_with_their_own_face_either() -> None:
    stage = Stage()
    photo = stage.show(BOB, DEAD, 5)
    assert photo[-1].presentation is ATTACK
    own = stage.show(BOB, ALIVE, 20)
    assert {one.presentation for one in own} == {ATTACK}
    assert stage.attacks == 1, "told once"


def test_an_attack_holds_against_whoever_comes_back_within_the_visit() -> None:
    stage = Stage()
    assert stage.show(BOB, DEAD, 5)[-1].presentation is ATTACK
    stage.leave(20.0)
    assert {one.presentation for one in stage.show(BOB, ALIVE, 10)} == {ATTACK}
    stage.leave(120.0)
    assert stage.show(BOB, ALIVE, 6)[-1].presentation is BONA_FIDE


def test_a_living_face_lends_no_time_to_a_photo() -> None:
    stage = Stage()
    assert named(stage.show(ALICE, ALIVE, 6)[-1]) == "alice"
    photo = stage.show(BOB, ALIVE, 4)
    assert {one.presentation for one in photo} == {UNDECIDED}, "another face is judged anew"
    assert {named(one) for one in photo} == {None}
    assert {one.candidates[0].subject for one in photo} == {"bob"}


def test_one_frame_of_an_attack_starts_the_evidence_over() -> None:
    stage = Stage()
    assert named(stage.show(BOB, ALIVE, 6)[-1]) == "bob"
    (one,) = stage.show(BOB, DEAD, 1)
    assert (one.candidates, one.presentation) == ((), UNDECIDED)
    assert [e.presentation for e in stage.show(BOB, ALIVE, 3)] == [UNDECIDED] * 3
