"""A camera that fails: an event within 5 s, and frames within 5 s of the camera's return."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from ostiary.edge.adapters.camera.reader import MOST_THREADS, CameraReader
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError
from ostiary.edge.sections import CameraSection
from tests.support.fakes import FakeClock

PROMISE_S = 5.0
EVERY_S = 1 / 15
OPENING_S = 1.0
"""Seconds that a good camera takes to open."""
LIMIT_S = 3.0
"""Seconds until opening a bad camera fails: a source's own limit."""
FAILS_S = 20.0
HANGS_S = 12.0
"""Seconds that a library may hang if the network drops every packet."""
PATIENCE_S = 20.0
OUTAGES = [0.5, 2.5, 6.1, 7.3, 8.9, 9.4, 10.6, 11.8, 12.7, 61.3]


def scene(count: int) -> Image:
    """What a camera sees: never twice the same."""
    return np.random.default_rng(count).integers(0, 256, (64, 64, 3), np.uint8)


Fault = Callable[[int], object]
FAULTS: dict[str, Fault] = {
    "frozen": lambda count: scene(0),
    "black": lambda count: np.zeros((64, 64, 3), np.uint8),
    "green": lambda count: np.tile(np.array([0, 200 + count % 2, 0], np.uint8), (64, 64, 1)),
    "no picture": lambda count: None,
    "cut short": lambda count: scene(0)[:, :, 0],
    "not decoded": lambda count: CameraError("cannot decode"),
}


class World:
    """A camera with one fault and a clock that advances only when the reader opens or reads it."""

    def __init__(self, fault: Fault, outage_s: float, opens: bool, frozen_s: float = 4.0) -> None:
        self.clock = FakeClock()
        self.fails_at = self.clock.now + FAILS_S
        self.returns_at = self.fails_at + outage_s
        self.happened: list[tuple[str, float]] = []
        self.given_while_bad: list[float] = []
        self._fault, self._opens = fault, opens
        self._count = self._given = 0
        self._over = threading.Event()
        camera = CameraSection(url="fake:", frozen_s=frozen_s)
        self.reader = CameraReader(camera, self._open, self.clock, self._wait)
        self.live, self.size_px = True, None

    def run(self) -> None:
        self.reader.start()
        assert self._over.wait(PATIENCE_S)
        assert self.reader.close(PATIENCE_S)

    @property
    def _bad(self) -> bool:
        return self.fails_at <= self.clock.now < self.returns_at

    def _passes(self, seconds: float) -> None:
        """Note what has happened so far, then advance the clock."""
        if not self._over.is_set():
            self.happened += [(event.event, self.clock.now) for event in self.reader.events()]
            # A picture that was under way when the camera failed does not count.
            settled = self.fails_at + 2 * EVERY_S < self.clock.now < self.returns_at
            if settled and self.reader._count != self._given:
                self.given_while_bad.append(self.clock.now)
            self._given = self.reader._count
        self.clock.now += seconds
        if self.clock.now > self.returns_at + 30:
            self._over.set()

    def _wait(self, _left: threading.Event, seconds: float) -> None:
        self._passes(seconds)

    def _open(self, _camera: CameraSection) -> World:
        if self._bad and not self._opens:
            self._passes(LIMIT_S)
            raise CameraError("cannot open")
        self._passes(OPENING_S)
        return self

    def read(self) -> Image | None:
        self._passes(EVERY_S)
        self._count += 1
        if not self._bad:
            return scene(self._count)
        shown = self._fault(self._count)
        if isinstance(shown, CameraError):
            raise shown
        return shown  # type: ignore[return-value]

    def interrupt(self) -> None:
        """Does nothing: this source does not hang."""

    def close(self) -> None:
        """Nothing to let go."""


@pytest.mark.parametrize("outage_s", OUTAGES)
@pytest.mark.parametrize("opens", [True, False], ids=["opens", "does-not-open"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_and_over_in_time(fault: str, opens: bool, outage_s: float) -> None:
    world = World(FAULTS[fault], outage_s, opens)
    world.run()
    assert world.given_while_bad == []
    if not world.happened:
        assert outage_s < PROMISE_S, "nothing was said"
        return
    (lost, lost_at), (back, back_at) = world.happened
    assert (lost, back) == ("camera-lost", "camera-back")
    assert 0 <= lost_at - world.fails_at <= PROMISE_S
    assert lost_at <= back_at <= world.returns_at + PROMISE_S


def test_a_camera_that_may_stand_still_is_never_lost_for_it() -> None:
    world = World(FAULTS["frozen"], 60.0, opens=True, frozen_s=0)
    world.run()
    assert world.happened == []
    assert world.given_while_bad == []


class Hanging:
    """A camera whose opening, or whose reading, hangs while it is away; the test moves time."""

    def __init__(self, outage_s: float, opens: bool) -> None:
        self.clock = FakeClock()
        self.fails_at = self.clock.now
        self.returns_at = self.fails_at + outage_s
        self.live, self._opens = True, opens
        self.size_px: tuple[int, int] | None = None
        self._hung: list[tuple[float, threading.Event]] = []
        self._settled = threading.Semaphore(0)
        self._end = threading.Event()
        self.reader = CameraReader(CameraSection(url="fake:"), self._open, self.clock)

    def run(self, limit_s: float) -> list[tuple[str, float]]:
        """Each event with its time, polled ten times a second as the daemon's loop does."""
        self.reader.start()
        assert self._settled.acquire(timeout=PATIENCE_S)
        happened: list[tuple[str, float]] = []
        while self.clock.now < self.fails_at + limit_s and len(happened) < 2:
            self.clock.now += 0.1
            self._let_go()
            before = self.reader._turn
            self.reader.next(0.0)
            if self.reader._turn is not before:
                assert self._settled.acquire(timeout=PATIENCE_S)
            happened += [(found.event, self.clock.now) for found in self.reader.events()]
        self._end.set()
        for _, gate in self._hung:
            gate.set()
        assert self.reader.close(PATIENCE_S)
        return happened

    def _let_go(self) -> None:
        """End a hang that has lasted long enough: its thread ends, or tries again."""
        for due in [due for due in self._hung if due[0] <= self.clock.now]:
            self._hung.remove(due)
            alive = self._alive()
            due[1].set()
            while self._alive() == alive and not self._settled.acquire(timeout=0.001):
                continue

    def _alive(self) -> int:
        return sum(thread.is_alive() for thread in self.reader._threads)

    def _open(self, _camera: CameraSection) -> Hanging:
        return self._in_time() if not self._opens else self

    def read(self) -> Image | None:
        self._in_time()
        if self.reader._count:
            # One picture is enough for the camera to count as back.
            self._settled.release()
            assert self._end.wait(PATIENCE_S)
            raise CameraError("the test is over")
        return scene(1)

    def _in_time(self) -> Hanging:
        if self.clock.now < self.returns_at and not self._end.is_set():
            gate = threading.Event()
            self._hung.append((self.clock.now + HANGS_S, gate))
            self._settled.release()
            assert gate.wait(PATIENCE_S)
            raise CameraError("it hung")
        return self

    def interrupt(self) -> None:
        """Does nothing: this source cannot be interrupted."""

    def close(self) -> None:
        """Nothing to let go."""


@pytest.mark.parametrize("outage_s", [*OUTAGES, 15.2, 30.3])
@pytest.mark.parametrize("opens", [True, False], ids=["reading", "opening"])
def test_a_camera_that_hangs_is_reported_and_back_in_time(opens: bool, outage_s: float) -> None:
    """Attempts begin beside those that hang, though never more than a few at once."""
    world = Hanging(outage_s, opens)
    happened = world.run(outage_s + 30)
    assert len(world.reader._threads) <= MOST_THREADS
    (lost, lost_at), (back, back_at) = happened
    assert (lost, back) == ("camera-lost", "camera-back")
    assert lost_at - world.fails_at <= PROMISE_S
    assert back_at <= max(world.returns_at, lost_at) + PROMISE_S
