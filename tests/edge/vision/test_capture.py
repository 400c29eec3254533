"""Enrollment at the door: which frames are used, which are not, and when a capture ends."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from ostiary.edge.core.faces.quality import Limits, Quality
from ostiary.edge.core.types import Face, Floats, Frame, Image
from ostiary.edge.sections import PadSection
from ostiary.edge.vision.capture import APART_S, ENOUGH, WANTED, Capture, Captured
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from tests.support.fakes import FakeClock, curve, face_at, image, unit

GOOD, DARK, NOBODY, TWO, PICTURE, OTHER, MASKED = 100, 101, 102, 103, 104, 105, 106
"""What a frame shows, by its grey value."""


class Models:
    """A pipeline that sees in a frame what its grey value stands for."""

    def __init__(self) -> None:
        self.bundle = SimpleNamespace(encoder_id="e" * 64, curve=curve, upright=None)
        self.broken = False

    def find(self, frame: Image) -> list[Face]:
        count = {NOBODY: 0, TWO: 2}.get(int(frame[0, 0, 0]), 1)
        return [face_at(10, 10)] * count

    def align(self, frame: Image, face: Face) -> Image:
        return frame

    def quality(self, face: Face, aligned: Image) -> Quality:
        bright = 3.0 if aligned[0, 0, 0] == DARK else 120.0
        covered = 1.0 if aligned[0, 0, 0] == MASKED else -1.0
        return Quality(50.0, 0.0, 0.0, 100.0, bright, 50.0, covered=covered)

    def live(self, frame: Image, face: Face) -> float:
        return 0.1 if frame[0, 0, 0] == PICTURE else 0.9

    def embed(self, aligned: Image) -> Floats:
        if self.broken:
            raise RuntimeError("the GPU is gone")
        return unit([0.0, 1.0]) if aligned[0, 0, 0] == OTHER else unit([1.0, 0.0])


class Door:
    """A capture, and frames at a camera's pace."""

    def __init__(self, *, pad: bool = False) -> None:

        chosen = PadSection(required=pad)
        config = SimpleNamespace(limits=Limits, pad=chosen)
        self.clock, self.models = FakeClock(), Models()
        self.capture = Capture(self.models, config, self.clock)  # type: ignore[arg-type]
        self._index = itertools.count()

    def show(self, *greys: int, apart_s: float = APART_S + 0.01) -> None:
        for grey in greys:
            self.clock.now += apart_s
            self.capture.look(Frame(image(grey), self.clock.now, next(self._index)))

    def end(self) -> Captured:
        self.clock.now += 60
        self.capture.look(None)
        return self.result()

    def result(self) -> Captured:
        done = self.capture.result()
        assert done is not None
        assert not self.capture.active
        return done


def test_good_frames_become_a_template_and_the_door_goes_on() -> None:
    door = Door()
    assert door.capture.begin("alice", 30.0)
    door.show(*[GOOD] * (WANTED - 1))
    assert door.capture.active
    assert door.capture.result() is None
    door.show(GOOD)
    done = door.result()
    assert done.reason == ""
    assert done.template is not None
    assert (done.template.subject, done.template.encoder) == ("alice", "e" * 64)
    assert np.allclose(done.template.embedding, [1.0, 0.0])
    assert done.template.photos == WANTED
    assert door.capture.begin("bob", 30.0)


def test_frames_of_one_moment_count_once() -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    door.show(*[GOOD] * 12, apart_s=APART_S / 3.5)
    assert door.capture.active
    assert door.end().seen == "3 good"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ([], "timeout"),
        ([NOBODY, NOBODY, GOOD], "no-face"),
        ([TWO, TWO, NOBODY], "two-faces"),
        ([DARK, DARK, GOOD], "low-quality"),
        ([MASKED, MASKED, GOOD], "covered"),
        ([GOOD] * (ENOUGH - 1), "timeout"),
        ([GOOD, GOOD, OTHER], "disagreement"),
        ([GOOD] * ENOUGH, ""),
    ],
)
def test_at_the_timeout_the_reason_is_what_was_wrong(shown: list[int], reason: str) -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    door.show(*shown)
    assert door.capture.active
    done = door.end()
    assert done.reason == reason
    assert (done.template is None) == bool(reason)
    assert done.template is None or done.template.photos == ENOUGH


def test_two_people_are_never_one_template() -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    door.show(GOOD, GOOD, OTHER, GOOD, GOOD)
    assert door.result().reason == "disagreement"


def test_an_attack_discards_the_frames_before_it_if_pad_is_required() -> None:
    door = Door(pad=True)
    door.capture.begin("alice", 30.0)
    door.show(*([GOOD, GOOD, PICTURE] * 4))
    assert door.capture.active
    assert door.end().reason == "attack"
    door.capture.begin("alice", 30.0)
    door.show(PICTURE, *[GOOD] * WANTED)
    assert door.result().reason == ""


def test_a_photo_passes_if_pad_is_not_required() -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    door.show(*[PICTURE] * WANTED)
    assert door.result().reason == ""


def test_only_one_capture_runs_at_a_time() -> None:
    door = Door()
    assert door.capture.begin("alice", 30.0)
    assert not door.capture.begin("bob", 30.0)
    door.show(*[GOOD] * WANTED)
    assert not door.capture.begin("bob", 30.0)
    assert door.result().template is not None
    assert door.capture.begin("bob", 30.0)


def test_a_timeout_of_nan_ends_the_capture() -> None:
    door = Door()
    door.capture.begin("alice", float("nan"))
    door.show(GOOD)
    assert door.result().reason == "timeout"


def test_if_the_models_fail_the_capture_ends_with_an_answer() -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    door.models.broken = True
    with pytest.raises(RuntimeError):
        door.show(*[GOOD] * WANTED)
    assert door.result().reason == "failed"


def test_frames_are_copied_since_a_camera_may_overwrite_them() -> None:
    door = Door()
    door.capture.begin("alice", 30.0)
    shared = image(GOOD)
    for _ in range(WANTED - 1):
        door.clock.now += APART_S + 0.01
        shared[:] = GOOD
        door.capture.look(Frame(shared, door.clock.now, 0))
        shared[:] = NOBODY
    door.show(GOOD)
    assert door.result().reason == ""


def test_the_real_models_give_the_template_that_photos_would(
    pipeline: Pipeline, portrait: Image
) -> None:
    clock = FakeClock()
    config = SimpleNamespace(limits=Limits, pad=PadSection(required=False))
    capture = Capture(pipeline, config, clock)  # type: ignore[arg-type]
    capture.begin("eileen", 30.0)
    for index, shown in enumerate([np.zeros_like(portrait), *[portrait] * WANTED]):
        clock.now += APART_S + 0.01
        capture.look(Frame(shown, clock.now, index))
    done = capture.result()
    assert done is not None
    assert done.template is not None
    by_photo = enroll(pipeline, "eileen", [("portrait", portrait)], Limits())
    assert done.template.encoder == capture.encoder == by_photo.encoder
    assert float(done.template.embedding @ by_photo.embedding) > 0.999
    assert done.seen == "5 good, 1 no-face"
