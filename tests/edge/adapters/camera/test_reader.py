"""The camera's thread: newest frame, back-off, stalls, freezes; with scripted sources."""

import threading
from typing import Any

import numpy as np
import pytest

from ostiary.edge.adapters.camera import reader as cameras
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.core.types import Frame, Image
from ostiary.edge.errors import CameraError
from ostiary.edge.sections import CameraSection
from tests.support.fakes import FakeSource

WAIT_S = 5.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(cameras, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(cameras, "STARTING_S", 0.1)
    monkeypatch.setattr(cameras, "SLACK_S", 0.0)


def picture(value: int, side: int = 64) -> Image:
    """A picture that shows something, with a value in its corner."""
    made = np.tile(np.arange(side, dtype=np.uint8)[:, None, None], (1, side, 3))
    made[0, 0] = value
    return made


def reader(sources: list[Any], **settings: Any) -> CameraReader:
    """A reader that opens these sources one after another."""
    left = list(sources)

    def open_next(_camera: CameraSection) -> Any:
        if not left:
            raise CameraError("no camera any more")
        source = left.pop(0)
        if isinstance(source, CameraError):
            raise source
        return source

    made = CameraReader(CameraSection(url="fake:", **({"fps": 200.0} | settings)), open_next)
    made.start()
    return made


def collect(made: CameraReader, count: int) -> list[Frame]:
    found: list[Frame] = []
    while len(found) < count:
        frame = made.next(WAIT_S)
        if frame is None and made.ended:
            break
        if frame is not None:
            found.append(frame)
    return found


def events_until(made: CameraReader, name: str) -> list[str]:
    found: list[str] = []
    for _ in range(400):
        found += [event.event for event in made.events()]
        if name in found:
            return found
        made.next(0.05)
    raise AssertionError(f"no {name} in {found}")


def test_without_dropping_every_frame_comes_in_order_and_then_the_end() -> None:
    made = reader([FakeSource([picture(i) for i in range(20)], live=False)], drop=False)
    frames = collect(made, 100)
    assert [int(f.image[0, 0, 0]) for f in frames] == list(range(20))
    assert [f.index for f in frames] == list(range(1, 21))
    assert made.ended
    times = np.diff([f.at_s for f in frames])
    assert times == pytest.approx(np.full(19, 1 / 200.0), abs=1e-6)


def test_the_newest_frame_wins() -> None:
    gate = threading.Event()
    source = FakeSource([picture(i) for i in range(9)] + [gate])
    made = reader([source])
    while source._script:
        pass
    (frame,) = collect(made, 1)
    assert int(frame.image[0, 0, 0]) == 8
    gate.set()
    made.close()


def test_a_source_that_fails_is_reported_once_and_comes_back() -> None:
    first = FakeSource([picture(1), CameraError("unplugged")])
    again = FakeSource([picture(2)] * 3 + [threading.Event()])
    made = reader([first, CameraError("still gone"), CameraError("still gone"), again])
    assert events_until(made, "camera-back") == ["camera-lost", "camera-back"]
    assert first.closed
    assert made.status == "ok"
    made.close()


def test_a_source_that_hangs_is_given_up_and_replaced() -> None:
    hung = threading.Event()
    again = threading.Event()
    made = reader([FakeSource([picture(1), hung]), FakeSource([picture(2), again])], stall_s=0.1)
    assert events_until(made, "camera-back")[:2] == ["camera-lost", "camera-back"]
    hung.set()
    again.set()
    made.close()


def test_a_source_that_hangs_while_opening_is_given_up_too() -> None:
    hung = threading.Event()
    calls = []

    def open_hanging(_camera: CameraSection) -> Any:
        calls.append(1)
        if len(calls) == 1:
            hung.wait(30)
            raise CameraError("too late")
        return FakeSource([picture(3)] * 5 + [threading.Event()])

    made = CameraReader(CameraSection(url="fake:", stall_s=0.1), open_hanging)
    made.start()
    assert "camera-lost" in events_until(made, "camera-back")
    hung.set()
    made.close()


def test_a_live_picture_that_never_changes_has_frozen() -> None:
    made = reader([FakeSource([picture(7)] * 100_000)], frozen_s=0.1)
    found: list[Any] = []
    while not found:
        made.next(0.02)
        found = made.events()
    assert found[0].event == "camera-lost"
    assert "frozen" in found[0].detail
    made.close()


def test_a_recording_may_stand_still() -> None:
    still = [picture(7)] * 60
    made = reader([FakeSource(still, live=False)], frozen_s=0.01, drop=False)
    assert len(collect(made, 60)) == 60
    assert made.events() == []


def test_before_the_first_frame_the_status_is_opening() -> None:
    made = CameraReader(CameraSection(url="fake:"), lambda camera: FakeSource([]))
    assert made.status == "opening"


def test_a_frozen_face_collects_no_votes() -> None:
    gate = threading.Event()
    made = reader([FakeSource([picture(5)] * 30 + [picture(6), gate])], frozen_s=60.0)
    greys = set()
    while 6 not in greys:
        frame = made.next(WAIT_S)
        assert frame is not None
        greys.add(int(frame.image[0, 0, 0]))
    assert made._count == 2
    gate.set()
    made.close()


def test_closing_reports_a_thread_that_hangs() -> None:
    hung = threading.Event()
    made = reader([FakeSource([picture(1), hung])])
    collect(made, 1)
    assert not made.close(timeout_s=0.05)
    hung.set()
    assert made.close(timeout_s=WAIT_S)


def test_attempts_that_hang_do_not_pile_up() -> None:
    hung = threading.Event()
    made = reader([FakeSource([hung]) for _ in range(50)], stall_s=0.01)
    while len(made._threads) < cameras.MOST_THREADS:
        made.next(0.01)
    for _ in range(30):
        made.next(0.01)
    assert len(made._threads) == cameras.MOST_THREADS
    hung.set()
    assert made.close(WAIT_S)


def test_closing_takes_one_limit_however_many_threads_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    made = reader([FakeSource([hung]) for _ in range(50)], stall_s=0.01)
    while len(made._threads) < cameras.MOST_THREADS:
        made.next(0.01)
    limits: list[float] = []
    for thread in made._threads:
        monkeypatch.setattr(thread, "join", limits.append)
    assert not made.close(WAIT_S)
    assert len(limits) == cameras.MOST_THREADS
    # What the first has waited for is gone from the others' limits.
    assert limits[0] > limits[1] > limits[2] > limits[3]
    hung.set()


def test_a_picture_of_another_size_is_an_event_with_both_sizes() -> None:
    gate = threading.Event()
    made = reader([FakeSource([picture(1), picture(2), picture(3, 96), gate])])
    while not (found := made.events()):
        made.next(0.02)
    assert [(e.event, e.detail) for e in found] == [("camera-changed", "64x64 before, 96x96 now")]
    gate.set()
    made.close()


@pytest.mark.parametrize(
    ("garbage", "why"),
    [
        (None, "got a NoneType"),
        (b"\xff\xd8", "got a bytes"),
        (np.zeros((64, 64), np.uint8), r"got (64, 64) uint8"),
        (np.zeros((64, 64, 3), np.float32), r"got (64, 64, 3) float32"),
        (np.zeros((0, 64, 3), np.uint8), r"got (0, 64, 3) uint8"),
        (np.zeros((64, 64, 4), np.uint8), r"got (64, 64, 4) uint8"),
    ],
)
def test_a_source_that_gives_no_picture_loses_the_camera_and_not_the_thread(
    garbage: Any, why: str
) -> None:
    gate = threading.Event()
    made = reader([FakeSource([picture(1), garbage]), FakeSource([picture(2), gate])])
    while not (found := made.events()):
        made.next(0.02)
    assert found[0].event == "camera-lost"
    assert why in found[0].detail
    assert "camera-back" in [e.event for e in found] or events_until(made, "camera-back")
    gate.set()
    made.close()


@pytest.mark.parametrize(
    ("degrees", "flip", "corner"),
    [
        (0, False, (0, 0)),
        (90, False, (0, 47)),
        (180, False, (63, 47)),
        (270, False, (63, 0)),
        (0, True, (0, 47)),
        (90, True, (0, 0)),
    ],
)
def test_frames_are_turned_clockwise_then_mirrored(
    degrees: int, flip: bool, corner: tuple[int, int]
) -> None:
    """Where the upper left corner of the source's picture comes to lie."""
    shown = np.full((48, 64, 3) if degrees % 180 else (64, 48, 3), 90, np.uint8)
    shown[0, 0] = 7
    made = reader([FakeSource([shown, None], live=False)], rotate=degrees, flip=flip, drop=False)
    (frame,) = collect(made, 1)
    assert frame.image.shape == (64, 48, 3)
    assert [tuple(at) for at in np.argwhere(frame.image[..., 0] == 7)] == [corner]
    assert made.close()
