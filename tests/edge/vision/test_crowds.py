"""The observer before several people: each has its turn, and a claim's tau allows for them all."""

from __future__ import annotations

from typing import Any

import numpy as np

from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.types import Face, Floats, Frame, Image
from ostiary.edge.vision.pipeline import MAX_FACES
from tests.edge.vision.test_observer import ALICE, OneFace, opened
from tests.support.fakes import face_at, found_at, unit

OTHER = unit(np.eye(8)[7])


class Group(OneFace):
    """A pipeline before which a group stands in a row, Alice at one place of it."""

    def __init__(self, people: int, alice: int) -> None:
        super().__init__()
        self.people, self.alice, self.looked = people, alice, list[int]()

    def boxes(self, _image: Image) -> list[Found]:
        return [found_at(200 * place, 0) for place in range(self.people)]

    def faces(self, _image: Image, found: Any) -> list[Face]:
        return [Face(box, face_at(*box[:2]).points_px, score, upright=5.0) for box, score in found]

    def align(self, _image: Image, face: Face) -> Any:
        place = int(face.box_px[0]) // 200
        self.looked.append(place)
        return place

    def probe(self, aligned: Any) -> Floats:
        return ALICE[0] if aligned == self.alice else OTHER


def watch(door: Any, frames: int, claim: str | None = None) -> list[list[Any]]:
    image = np.zeros((9, 9, 3), np.uint8)
    return [
        [sighting.evidence for sighting in door.observer.observe(Frame(image, n / 10, n), claim)]
        for n in range(frames)
    ]


def test_a_frame_looks_at_a_few_of_many_and_all_have_their_turn() -> None:
    group = Group(30, alice=29)
    seen = watch(opened(group), 10)
    assert [len(frame) for frame in seen] == [MAX_FACES] * 10
    assert set(group.looked) == set(range(30))


def test_whoever_is_recognised_in_the_crowd_is_looked_at_again_at_once() -> None:
    group = Group(30, alice=20)
    watch(opened(group), 10)
    frames = [at // MAX_FACES for at, place in enumerate(group.looked) if place == 20]
    assert frames[1] == frames[0] + 1


def test_in_verify_mode_every_face_is_compared_with_the_claim() -> None:
    seen = watch(opened(Group(3, alice=2), "verify"), 1, claim="alice")
    scores = [evidence.candidates[0].score for evidence in seen[0]]
    assert (np.round(scores, 3) == [0, 0, 1]).all()
    assert [evidence.behind for evidence in seen[0]] == [False, True, True]
    assert [len(evidence.others) for evidence in seen[0]] == [2, 2, 2]


def test_more_faces_in_view_make_a_claim_harder_and_a_search_not() -> None:
    taus = {
        (mode, people): watch(opened(Group(people, 0), mode), 1, "alice")[0][0].tau
        for mode in ("verify", "identify")
        for people in (1, 4)
    }
    assert taus["verify", 4] > taus["verify", 1]
    assert taus["identify", 4] == taus["identify", 1]
    door = opened(Group(4, 0), "verify")
    assert taus["verify", 4] == door.enrolled.stricter_tau(1 / 4)
