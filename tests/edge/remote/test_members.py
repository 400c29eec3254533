"""Members: templates are checked, counted and passed on, never kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.types import Floats
from ostiary.edge.remote.members import Members
from ostiary.edge.roster.changes import Drop, Put, Sealed
from ostiary.edge.roster.record import Record
from tests.support.doors.roster_door import Searched
from tests.support.roster.operator import DIM, ENCODER, face

OTHER = "cd" * 32


class Listening(Searched):
    """Remembers each change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[list[str], list[str]]] = []

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        self.changes.append(([subject for subject, *_ in put], list(removed)))
        super().change(put, removed)


@pytest.fixture
def searched() -> Listening:
    return Listening()


@pytest.fixture
def members(searched: Listening) -> Members:
    return Members(searched, ENCODER, DIM)


def put(subject: str, templates: dict[str, bytes] | None = None, **more: object) -> Put:
    given = {ENCODER: face(1).tobytes()} if templates is None else templates
    return Put(Sealed(Record(subject, 1, templates=given, **more), b""))  # type: ignore[arg-type]


def gone(subject: str) -> Put:
    return Put(Sealed(Record(subject, 1, gone=True), b""))


def test_templates_and_rights_are_handed_on(members: Members, searched: Listening) -> None:
    members.follow([put("alice", groups=("staff",)), put("bob", {ENCODER: face(2).tobytes()})])
    assert searched.rights == {"alice": Rights(groups=("staff",)), "bob": Rights()}
    assert searched.gallery.identify(face(2))[0].subject == "bob"
    assert (len(members), members.usable, members.damaged) == (2, 2, set())
    assert searched.changes == [(["alice", "bob"], [])]


def test_the_photos_of_the_template_in_use_are_handed_on(
    members: Members, searched: Listening
) -> None:
    both = {ENCODER: face(1).tobytes(), OTHER: bytes(8)}
    members.follow(
        [
            put("alice", both, photos={ENCODER: 2, OTHER: 7}),
            put("bob", both, photos={OTHER: 7}),
            put("carol", {OTHER: bytes(8)}, photos={OTHER: 7}),
        ]
    )
    assert searched.photos == {"alice": 2, "bob": 0}
    members.follow([put("alice")])
    assert searched.photos["alice"] == 0


@pytest.mark.parametrize("leaving", [Drop("alice"), gone("alice")])
def test_a_removed_subject_is_forgotten(
    members: Members, searched: Listening, leaving: Put | Drop
) -> None:
    members.follow([put("alice"), put("bob")])
    members.follow([leaving])
    assert searched.gallery.subjects == ["bob"]
    assert searched.rights == {"bob": Rights()}
    assert (len(members), members.usable) == (1, 1)
    members.follow([leaving])
    assert (len(members), members.usable) == (1, 1)


def test_nothing_to_follow_changes_nothing(members: Members, searched: Listening) -> None:
    members.follow([])
    assert searched.changes == []


@pytest.mark.parametrize(
    ("steps", "let_in"),
    [
        ([put("alice"), gone("alice")], False),
        ([put("alice"), Drop("alice")], False),
        ([gone("alice"), put("alice")], True),
        ([Drop("alice"), put("alice")], True),
        ([put("alice"), gone("alice"), put("alice")], True),
        ([put("alice"), put("alice", {OTHER: face(1).tobytes()})], False),
        ([gone("alice"), put("alice"), Drop("alice")], False),
    ],
)
def test_of_several_steps_of_one_subject_the_last_counts(
    members: Members, searched: Listening, steps: list[Put | Drop], let_in: bool
) -> None:
    for before in ([], [put("alice")]):
        members.follow([*before, put("bob")])
        members.follow(steps)
        assert searched.gallery.subjects == (["alice", "bob"] if let_in else ["bob"])
        assert members.usable == len(searched.gallery)


def test_an_older_rights_or_template_does_not_stay(members: Members, searched: Listening) -> None:
    members.follow([put("alice", groups=("staff",))])
    members.follow([put("alice", {ENCODER: face(5).tobytes()}, suspended=True)])
    assert searched.rights["alice"] == Rights(suspended=True)
    assert len(searched.gallery) == 1
    assert searched.gallery.identify(face(5))[0].score == pytest.approx(1)


def changed(**at: float) -> bytes:
    values = face(1).astype(np.float32)
    for position, value in at.items():
        values[int(position[1:])] = value
    return values.tobytes()


@pytest.mark.parametrize(
    "raw",
    [
        bytes(4 * DIM),
        face(1).tobytes()[:-4],
        face(1).tobytes() + bytes(4),
        face(1).tobytes() * 2,
        face(1).astype(">f4").tobytes(),
        (face(1) * np.float32(1.01)).tobytes(),
        (face(1) * np.float32(0.99)).tobytes(),
        changed(_3=float("nan")),
        changed(_3=float("inf")),
        changed(_3=float("-inf")),
        np.full(DIM, 3e38, np.float32).tobytes(),
        np.full(DIM, np.nan, np.float32).tobytes(),
    ],
)
def test_a_template_that_is_no_embedding_is_not_searched(
    members: Members, searched: Listening, raw: bytes
) -> None:
    members.follow([put("alice"), put("bob")])
    members.follow([put("alice", {ENCODER: raw, OTHER: b"\0\0\0\0"})])
    assert searched.gallery.subjects == ["bob"]
    assert (len(members), members.usable, members.damaged) == (2, 1, {"alice"})
    assert +members.coverage == {ENCODER: 1, OTHER: 1}
    members.follow([put("alice")])
    assert (members.usable, members.damaged) == (2, set())
    members.follow([put("alice", {ENCODER: raw}), Drop("alice")])
    assert members.damaged == set()


def test_a_template_that_floats_rounded_is_searched(members: Members) -> None:
    members.follow([put("alice", {ENCODER: (face(1) * np.float32(1.0005)).tobytes()})])
    assert members.usable == 1


def test_coverage_counts_every_encoder(members: Members, searched: Listening) -> None:
    members.follow(
        [
            put("alice"),
            put("bob", {ENCODER: face(2).tobytes(), OTHER: bytes(8)}),
            put("carol", {OTHER: bytes(8)}),
            put("dave", {}),
        ]
    )
    assert (len(members), members.usable) == (4, 2)
    assert +members.coverage == {ENCODER: 2, OTHER: 2}
    assert searched.gallery.subjects == ["alice", "bob"]
    assert set(searched.rights) == {"alice", "bob", "carol", "dave"}
    members.follow([Drop("bob"), gone("carol")])
    assert +members.coverage == {ENCODER: 1}
