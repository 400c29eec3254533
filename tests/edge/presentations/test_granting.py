"""Presentations before a whole door: who is enrolled, and when it opens for whom."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.types import Face, Floats, Image, Template
from ostiary.edge.errors import EnrollmentRefused, RecordingError
from ostiary.edge.presentations import granting
from ostiary.edge.presentations.granting import (
    GRANTED,
    IAPAR,
    WITH,
    WITHOUT,
    Grant,
    door_config,
    enrolling,
    filled,
    granted,
    rated,
)
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.vision.batch import PhotoResult
from ostiary.edge.vision.observer import open_enrolled
from tests.edge.presentations.made_up import recording
from tests.edge.presentations.test_recordings import record
from tests.edge.vision.test_observer import ALICE, ALIVE, BOB, DEAD, OneFace


class Before(OneFace):
    """A camera before which Bob stands, alive or as a picture; frame 0 shows nobody."""

    bundle = SimpleNamespace(**vars(OneFace.bundle), upright=None)

    def __init__(self, alive: float) -> None:
        super().__init__()
        self.seen, self.alive = BOB[0], alive

    def boxes(self, image: Image) -> Any:
        return super().boxes(image) if image.mean() > 0 else []

    def find(self, image: Image) -> list[Face]:
        return self.faces(image, self.boxes(image))

    def align(self, image: Image, _face: Face) -> Any:
        return image


def shown(path: Path, every_s: float) -> Recording:
    record(path, *(f"{number}.png" for number in range(9)))
    return Recording(path, "one", Presentation.BONA_FIDE, person="bob", every_s=every_s)


def door(pipeline: Any, required: bool) -> tuple[Enrolled, Any]:
    config = door_config(None, required)
    enrolled = open_enrolled(pipeline, config)
    enrolled.load([("alice", ALICE, 1), ("bob", BOB, 1)])
    return enrolled, config


def outcome(path: Path, alive: float, required: bool, every_s: float = 0.5) -> Grant:
    pipeline: Any = Before(alive)
    return granted(pipeline, *door(pipeline, required), shown(path, every_s))


def test_the_time_to_a_grant_begins_with_the_first_face(tmp_path: Path) -> None:
    """Without PAD two votes are enough; with the usual limits five frames and one more vote."""
    assert outcome(tmp_path, DEAD, required=False) == Grant(0.5, "bob")
    assert outcome(tmp_path, ALIVE, required=True) == Grant(2.5, "bob")
    assert outcome(tmp_path, DEAD, required=True) == Grant()


def test_a_recording_of_few_frames_shows_one_face_all_the_same(tmp_path: Path) -> None:
    """A door would forget a face that is away for .6 s."""
    assert outcome(tmp_path, ALIVE, required=True, every_s=0.8).subject == "bob"


def living(name: str, person: str) -> Recording:
    return recording(name, person)


def test_rates_leave_out_what_somebody_was_enrolled_from() -> None:
    shown = [
        living("a1", "a"), living("a2", "a"), living("a3", "a"), living("b1", "b"),
        living("b2", "b"), living("c1", "c"),
        recording("pa", "a", "print"), recording("pb", "b", "phone"), recording("pc", "c", "print"),
    ]  # fmt: skip
    assert enrolling(shown) == {"a1", "b1", "c1"}
    templates: dict[str, Floats] = {"a": ALICE, "b": BOB}
    nothing, soon = Grant(), Grant(1.0, "a")
    grants = [soon, soon, Grant(3.5, "a"), soon, soon, nothing, soon, nothing, soon]
    found = {(row.measure, row.of): row for row in rated(shown, {WITH: grants}, templates)}
    assert found[f"{IAPAR}, {WITH}", "all"].rate.value == 0.5, "c is not enrolled"
    assert found[f"{IAPAR}, {WITH}", "worst type: print"].rate.value == 1.0
    assert found[f"{IAPAR}, {WITH}", "phone"].rate.value == 0.0
    people = found[f"{GRANTED}, {WITH}", "all"]
    assert people.verdicts == 3
    assert people.rate.value == pytest.approx(1 / 3), "one too late, one as somebody else"
    assert people.undecided is None
    both = rated(shown, {WITH: grants, WITHOUT: grants}, templates)
    assert len(both) == 2 * len(found)


def test_somebody_is_enrolled_from_their_first_good_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def enroll(_pipeline: object, subject: str, photos: Any, _limits: object) -> Any:
        tried.append(round(float(photos[0][1].mean())))
        if tried[-1] < 20:
            raise EnrollmentRefused("no-face", "no face")
        return Template(subject, "e", BOB[0], 1)

    def each(_bundle: object, items: Any, work: Any, *_: object) -> list[Any]:
        return [work(None, item) for item in items]

    monkeypatch.setattr(granting, "enroll", enroll)
    monkeypatch.setattr(granting, "each_photo", each)
    bundle: Any = None
    one = shown(tmp_path, 0.5)
    templates = granting.shown_people(bundle, [one, one], "auto")
    assert tried == [0, 10, 20]
    assert list(templates) == ["bob"]
    assert np.array_equal(templates["bob"], BOB)


def test_a_gallery_is_filled_with_people_whose_photo_shows_a_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p1", "p2", "p3", "p4", "p5"):
        record(tmp_path / name, "0.png", "1.png")
    (tmp_path / "p0").mkdir()

    def embed(_bundle: object, photos: list[Path], _backend: str) -> list[PhotoResult]:
        assert all(photo.name == "0.png" for photo in photos)
        return [PhotoResult(None if photo.parent.name == "p2" else ALICE[0]) for photo in photos]

    monkeypatch.setattr(granting, "embed_photos", embed)
    bundle: Any = None
    assert list(filled({"bob": BOB}, bundle, tmp_path, 4, "auto")) == [
        "bob",
        "other-p1",
        "other-p3",
        "other-p4",
    ]
    assert len(filled({"bob": BOB}, bundle, tmp_path, 100, "auto")) == 5
    with pytest.raises(RecordingError, match="has no subfolders"):
        filled({}, bundle, tmp_path / "p1", 9, "auto")
