"""The observer: what of a frame becomes evidence, and what the enrolled add to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.config import Config
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.rules.access import Moment, Rights
from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.core.types import Face, Floats, Frame, Image, Reason
from ostiary.edge.errors import BundleError
from ostiary.edge.vision.observer import Observer, open_enrolled
from tests.support import made_verifier
from tests.support.fakes import curve, face_at, unit

DIM = 8
ALICE, BOB = (row[None] for row in unit(np.eye(DIM)[:2]))
SHARP, DARK = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0), Quality(60.0, 0.1, 2.0, 300.0, 5.0, 45.0)


class OneFace:
    """A pipeline before which Alice stands in a good picture, unless the test says otherwise."""

    bundle = SimpleNamespace(dim=DIM)
    curve = staticmethod(curve)

    def __init__(self) -> None:
        self.seen: Floats = ALICE[0]
        self.fitness = SHARP

    def boxes(self, _image: Image) -> list[int]:
        return [1]

    def faces(self, _image: Image, found: list[int]) -> list[Face]:
        return [face_at(10, 10) for _ in found]

    def align(self, _image: Image, _face: Face) -> None:
        return None

    def quality(self, _face: Face, _aligned: Image) -> Quality:
        return self.fitness

    def probe(self, _aligned: Image) -> Floats:
        return self.seen

    def head(self) -> tuple[Verifier, DetCurve]:
        return Verifier(np.full(DIM, -8.0), 8.0), made_verifier.made("e" * 64, DIM).curve()


def opened(pipeline: Any, mode: str = "identify", **recognition: object) -> Any:
    """What `open_enrolled` and `Observer` make for a profile, with Alice and Bob enrolled."""
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"}, "camera": {"url": "v4l2:"},
        "state": {"path": "s"}, "recognition": {"mode": mode, **recognition},
    }  # fmt: skip
    config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
    enrolled = open_enrolled(pipeline, config, lambda: Moment(1e9, 0, 720))
    enrolled.change([("alice", ALICE, Rights(suspended=True)), ("bob", BOB, Rights())], [])
    return SimpleNamespace(enrolled=enrolled, observer=Observer(pipeline, config, enrolled))


def look(door: Any, claim: str | None = None, size: int = 9, at_s: float = 1.0) -> Any:
    (sighting,) = door.observer.observe(Frame(np.zeros((size, size, 3), np.uint8), at_s, 1), claim)
    return sighting.evidence


def test_evidence_says_who_it_could_be_at_which_tau_and_who_may_not_pass() -> None:
    door = opened(OneFace())
    evidence = look(door)
    assert [candidate.subject for candidate in evidence.candidates] == ["alice", "bob"]
    assert (evidence.tau, evidence.k) == (door.enrolled.tau.tau, 2)
    assert (evidence.barred, evidence.failures) == (Reason.SUSPENDED, ())
    assert evidence.least_probability is None
    door.enrolled.change([], ["alice"])
    assert [candidate.subject for candidate in look(door).candidates] == ["bob"]


def test_a_face_in_the_dark_is_compared_with_nobody() -> None:
    pipeline = OneFace()
    pipeline.fitness = DARK
    evidence = look(opened(pipeline))
    assert evidence.failures == ("too-dark",)
    assert evidence.candidates == ()


def test_another_size_of_picture_starts_every_track_over() -> None:
    door = opened(OneFace())
    tracks = [look(door, size=size, at_s=at).track for size, at in ((9, 1.0), (9, 1.1), (8, 1.2))]
    assert tracks[0] == tracks[1] != tracks[2]


def test_the_head_judges_claims_if_the_profile_asks_for_it() -> None:
    door = opened(OneFace(), "verify", verifier=True)
    evidence = look(door, "alice")
    assert evidence.candidates[0].probability == pytest.approx(1 / (1 + np.exp(-8.0)))
    assert evidence.least_probability == door.enrolled.least_probability is not None
    assert look(opened(OneFace(), "verify"), "alice").least_probability is None


def test_a_profile_that_asks_for_a_head_needs_one() -> None:
    class Headless(OneFace):
        def head(self) -> tuple[Verifier, DetCurve]:
            raise BundleError("no head")

    with pytest.raises(BundleError, match="no head"):
        opened(Headless(), "verify", verifier=True)
