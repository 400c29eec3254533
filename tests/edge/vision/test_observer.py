"""The observer: what of a frame becomes evidence, and what the enrolled add to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.config import Config
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.rules.access import Moment, Rights
from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.core.types import Face, Floats, Frame, Image, Reason
from ostiary.edge.errors import BundleError
from ostiary.edge.vision.observer import KNOWN_FACE_FMR, SAME_FACE_FMR, Observer, open_enrolled
from tests.support import made_verifier
from tests.support.fakes import curve, face_at, found_at, unit

DIM = 8
ALICE, BOB = (row[None] for row in unit(np.eye(DIM)[:2]))
ALIVE, WEAK, DEAD = 3.0, -0.5, -9.0
"""Log-odds of a living face, of one that does not look live, and of an attack."""
SHARP, DARK = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0), Quality(60.0, 0.1, 2.0, 300.0, 3.0, 45.0)


class OneFace:
    """A pipeline before which Alice stands in a good picture, unless the test says otherwise."""

    bundle = SimpleNamespace(
        dim=DIM, pad=None, model=lambda _name: SimpleNamespace(size_px=(240, 320))
    )
    curve = staticmethod(curve)

    def __init__(self) -> None:
        self.seen: Floats = ALICE[0]
        self.fitness = SHARP
        self.alive = ALIVE

    def curves(self, worst: bool) -> Curves:
        return Curves({1: curve(start=0.2 if worst else 0.0)}, {})

    def boxes(self, _image: Image) -> list[Found]:
        return [found_at(10, 10)]

    def faces(self, _image: Image, found: Sequence[Found]) -> list[Face]:
        return [Face(box, face_at(10, 10).points_px, score, upright=5.0) for box, score in found]

    def align(self, _image: Image, _face: Face) -> None:
        return None

    def quality(self, _face: Face, _aligned: Image) -> Quality:
        return self.fitness

    def probe(self, _aligned: Image) -> Floats:
        return self.seen

    def passive(self, _image: Image, _face: Face, names: Collection[str]) -> dict[str, float]:
        return dict.fromkeys(names, self.alive)

    def head(self) -> tuple[Verifier, DetCurve]:
        return Verifier(np.full(DIM, -8.0), 8.0), made_verifier.made("e" * 64, DIM).curve()


def opened(pipeline: Any, mode: str = "identify", pad: bool = False, **recognition: object) -> Any:
    """What `open_enrolled` and `Observer` make for a profile, with Alice and Bob enrolled."""
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"}, "camera": {"url": "v4l2:"},
        "state": {"path": "s"}, "recognition": {"mode": mode, **recognition},
        "pad": {"required": pad},
    }  # fmt: skip
    config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
    enrolled = open_enrolled(pipeline, config, lambda: Moment(1e9, 0, 720))
    enrolled.change([("alice", ALICE, Rights(suspended=True), 0), ("bob", BOB, Rights(), 0)], [])
    return SimpleNamespace(enrolled=enrolled, observer=Observer(pipeline, config, enrolled))


def sight(door: Any, claim: str | None = None, size: int = 9, at_s: float = 1.0) -> Any:
    (sighting,) = door.observer.observe(Frame(np.zeros((size, size, 3), np.uint8), at_s, 1), claim)
    return sighting


def look(door: Any, claim: str | None = None, size: int = 9, at_s: float = 1.0) -> Any:
    return sight(door, claim, size, at_s).evidence


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


@pytest.mark.parametrize("size", [9, 8])
def test_another_size_of_picture_starts_every_track_over(size: int) -> None:
    """Then a face that is enough like the one before, but not known again, is another one."""
    like, known = (threshold(curve(), fmr, 1).tau for fmr in (SAME_FACE_FMR, KNOWN_FACE_FMR))
    assert like < known
    pipeline = OneFace()
    door = opened(pipeline)
    before = look(door, size=9, at_s=1.0).track
    cosine = (like + known) / 2
    pipeline.seen = np.asarray(cosine * ALICE[0] + np.sqrt(1 - cosine**2) * BOB[0], np.float32)
    assert (look(door, size=size, at_s=1.1).track == before) == (size == 9)


def test_a_face_that_comes_back_is_in_the_same_visit_and_its_score_settles() -> None:
    pipeline = OneFace()
    door = opened(pipeline)
    first = look(door, at_s=1.0)
    pipeline.seen = unit(ALICE[0] + 0.3 * BOB[0])
    again = look(door, at_s=31.0)
    assert again.track == first.track
    alone = look(opened(pipeline), at_s=31.0).candidates[0].score
    assert again.candidates[0].score == pytest.approx(alone, abs=1e-6), "the newest frame limits it"
    pipeline.seen = ALICE[0]
    held = look(door, at_s=31.1).candidates[0].score
    assert alone < held < 1.0, "the frames before hold it back"
    assert look(door, at_s=200.0).track != first.track


def test_a_small_face_counts_less_than_a_near_one() -> None:
    scores = []
    for eyes in (60.0, 16.0):
        pipeline = OneFace()
        door = opened(pipeline)
        pipeline.seen = unit(ALICE[0] + BOB[0])
        pipeline.fitness = dataclasses.replace(SHARP, eye_distance_px=eyes)
        look(door, at_s=1.0)
        pipeline.seen, pipeline.fitness = ALICE[0], SHARP
        for frame in range(8):
            evidence = look(door, at_s=1.1 + frame / 10)
        scores.append(evidence.candidates[0].score)
    assert scores[0] < scores[1]


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


def test_tau_is_that_of_the_worst_group_unless_the_profile_asks_for_the_mean() -> None:
    worst, mean = (opened(OneFace(), tau=name).enrolled for name in ("worst-group", "mean"))
    assert opened(OneFace()).enrolled.tau == worst.tau
    assert worst.tau.tau == pytest.approx(mean.tau.tau + 0.2)


def test_a_template_may_learn_if_every_frame_behind_the_probe_was_live_and_good() -> None:
    door = opened(OneFace(), pad=True)
    for number in range(1, 11):
        sample = sight(door, at_s=number / 15).sample
        assert sample is not None
        assert sample.frames == min(number, 8)
        assert np.allclose(sample.embedding, ALICE[0])


def test_a_frame_that_is_not_good_bars_the_probe_until_it_is_no_longer_fused() -> None:
    pipeline = OneFace()
    door = opened(pipeline, pad=True)
    found = []
    for number in range(12):
        # Usable, but not good enough to learn from.
        turned = Quality(60.0, 0.5, 2.0, 300.0, 120.0, 45.0)
        pipeline.fitness = turned if number == 2 else SHARP
        found.append(sight(door, at_s=number / 15).sample is not None)
    assert found == [True, True, *[False] * 8, True, True]


def test_nothing_is_learned_from_a_frame_that_does_not_look_live() -> None:
    pipeline = OneFace()
    door = opened(pipeline, pad=True)
    frames = []
    for number in range(4):
        pipeline.alive = WEAK if number == 2 else ALIVE
        sample = sight(door, at_s=number / 15).sample
        frames.append(None if sample is None else sample.frames)
    assert frames == [1, 2, None, 3]


def test_without_liveness_there_is_nothing_to_learn_from() -> None:
    assert sight(opened(OneFace())).sample is None


def test_another_persons_frames_do_not_count_for_the_next() -> None:
    pipeline = OneFace()
    door = opened(pipeline, pad=True)
    pipeline.alive = DEAD
    assert sight(door, at_s=1.0).sample is None
    pipeline.alive, pipeline.seen = ALIVE, BOB[0]
    sample = sight(door, at_s=1.1).sample
    assert sample is not None
    assert sample.frames == 1
