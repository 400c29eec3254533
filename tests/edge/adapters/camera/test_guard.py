"""What the reader tells of a live source that cannot be believed, and what it holds back."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice

import msgspec
import pytest

from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.core.types import Image
from ostiary.edge.sections import CameraSection
from tests.support.fakes import FakeClock, FakeSource
from tests.support.inputs.streams import FPS, Corridor, hand


class _Paced(FakeSource):
    """A source that makes the time pass at `FPS`, and says when it has given all pictures."""

    def __init__(self, pictures: list[Image], live: bool, clock: FakeClock) -> None:
        self.hangs, self.over, self._clock = threading.Event(), threading.Event(), clock
        super().__init__([*pictures, self.hangs], live)

    def read(self) -> Image | None:
        self._clock.now += 1 / FPS
        if len(self._script) == 1:
            self.over.set()
        return super().read()


@dataclass(frozen=True)
class Seen:
    """What a reader told, the faults at the end, and how many pictures it passed on."""

    events: list[tuple[str, str]]
    faults: tuple[str, ...]
    passed_on: int


def seen(pictures: Iterable[Image], live: bool = True, **settings: object) -> Seen:
    """What a reader makes of these pictures, with these settings under [camera]."""
    camera = msgspec.convert({"url": "fake:", **settings}, CameraSection)
    clock = FakeClock()
    source = _Paced(list(pictures), live, clock)
    reader = CameraReader(camera, lambda _camera: source, clock, lambda _left, _s: None)
    reader.start()
    assert source.over.wait(60)
    told = Seen([(e.event, e.detail) for e in reader.events()], reader.faults, reader._count)
    source.hangs.set()
    assert reader.close(5)
    return told


def looped(count: int) -> list[Image]:
    recorded = list(Corridor().pictures(12 / FPS))
    return [recorded[number % 12] for number in range(count)]


def test_a_loop_is_told_and_no_picture_of_it_is_passed_on_twice() -> None:
    told = seen(looped(60))
    assert told == Seen([*told.events], ("looped",), 12)
    ((name, why),) = told.events
    assert name == "camera-looped"
    assert why.startswith("pictures come again that were shown before: look for")


def test_where_a_loop_may_open_the_door_its_pictures_are_passed_on() -> None:
    told = seen(looped(60), shut_on=["covered"])
    assert [name for name, _ in told.events] == ["camera-looped"]
    assert (told.faults, told.passed_on) == (("looped",), 60)


def test_a_recording_may_be_looped() -> None:
    told = seen(looped(60), live=False)
    assert told == Seen([], (), 60)


def test_a_cover_is_told_and_its_end() -> None:
    corridor = Corridor()
    covered = chain(corridor.pictures(30), corridor.pictures(9, hand))
    told = seen(islice(covered, 39 * FPS))
    assert told.faults == ("covered",)
    uncovered = chain(corridor.pictures(30), corridor.pictures(9, hand), corridor.pictures(9))
    told = seen(uncovered)
    assert [name for name, _ in told.events] == ["camera-covered", "camera-uncovered"]
    assert told.events[0][1].endswith(
        "without the detail that it had: clear the lens, or give light"
    )
    assert told.faults == ()


def test_a_source_that_is_opened_again_is_watched_further() -> None:
    """Whoever unplugs it for a moment does not have its loop forgotten."""
    recorded, clock = looped(24), FakeClock()
    sources = [_Paced(recorded[:12], True, clock), _Paced(recorded[12:], True, clock)]
    first, second = sources
    first._script[-1] = None
    reader = CameraReader(
        CameraSection(url="fake:"), lambda _camera: sources.pop(0), clock, lambda _left, _s: None
    )
    reader.start()
    assert second.over.wait(60)
    assert reader._count == 12
    second.hangs.set()
    assert reader.close(5)


@pytest.mark.parametrize("wrong", [["frozen"], "looped"])
def test_a_fault_of_another_name_is_refused(wrong: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="shut_on"):
        msgspec.convert({"url": "x", "shut_on": wrong}, CameraSection)
