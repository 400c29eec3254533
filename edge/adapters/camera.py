"""The camera's thread: the newest frame wins, and a source that fails is opened again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.adapters.sources import Source
from edge.config import Camera
from edge.core.types import Frame, Image
from edge.errors import CameraError, OstiaryError

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
OPENING_S = 8.0
"""Longer than any source may take to open: a network camera needs seconds, and gets them."""
SAMPLE_STEP = 8

Open = Callable[[Camera], Source]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """`camera-lost` with the reason, or `camera-back`."""

    event: str
    detail: str = ""


class CameraReader:
    """Reads a source in a thread of its own; the daemon asks for the newest frame."""

    def __init__(self, camera: Camera, open_source: Open, clock: Clock = time.monotonic) -> None:
        self._camera, self._open, self._clock = camera, open_source, clock
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._events: deque[CameraEvent] = deque(maxlen=64)
        self._turn: _Turn | None = None
        self._threads: list[threading.Thread] = []
        self._count = 0
        self._lost = False
        self._wait_s = FIRST_WAIT_S
        self._seen_s = self._started_s = clock()
        self.ended = False

    def start(self) -> None:
        """Begin to read; sources are opened in the thread, so that a hanging one hangs nobody."""
        self._seen_s = self._clock()
        self._turn = _Turn(self)
        thread = threading.Thread(target=self._turn.run, name="camera", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def next(self, timeout_s: float) -> Frame | None:
        """The newest frame not yet taken; None where none came in time or the source ended.

        A reader that has been silent for `stall_s` is given up here and a new one started.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self.ended, timeout_s)
            frame, self._frame = self._frame, None
            self._changed.notify_all()
        if frame is None and not self.ended:
            self._watch()
        return frame

    def events(self) -> list[CameraEvent]:
        """What happened to the source since the last call."""
        with self._changed:
            found = list(self._events)
            self._events.clear()
        return found

    @property
    def status(self) -> str:
        """`opening` until the first frame, then `ok` or `lost`."""
        if self._lost:
            return "lost"
        return "ok" if self._count else "opening"

    def close(self, timeout_s: float = 1.0) -> bool:
        """Stop reading; False where a thread still hangs in a source after `timeout_s`.

        The interpreter must not be taken down around such a thread: it aborts in OpenCV.
        """
        with self._changed:
            turn, self._turn = self._turn, None
            self._changed.notify_all()
        if turn is not None:
            turn.leave()
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _watch(self) -> None:
        silent = self._clock() - self._seen_s
        patience = self._camera.stall_s + (self._wait_s if self._lost else 0)
        if self._turn is not None and self._turn.opening:
            patience += OPENING_S
        if silent < patience:
            return
        self._fail(f"no frame for {silent:.1f} s")
        turn = self._turn
        if turn is not None:
            turn.leave()
            self.start()

    # Called by the turn's thread.

    def _give(self, turn: _Turn, image: Image) -> bool:
        """Hand a frame over; False where this turn is over."""
        with self._changed:
            if not self._camera.drop:
                self._changed.wait_for(lambda: self._frame is None or self._turn is not turn)
            if self._turn is not turn:
                return False
            self._count += 1
            now = self._clock()
            # Read without dropping, a recording keeps its own time, however fast it is read.
            at_s = now if self._camera.drop else self._started_s + self._count / self._camera.fps
            self._frame = Frame(image, at_s, self._count)
            self._seen_s, self._wait_s = now, FIRST_WAIT_S
            if self._lost:
                self._lost = False
                self._events.append(CameraEvent("camera-back"))
            self._changed.notify_all()
        return True

    def _alive(self) -> None:
        """The source answers, though with nothing new."""
        self._seen_s = self._clock()

    def _fail(self, reason: str) -> None:
        """Report the first failure of a row, not every attempt."""
        with self._changed:
            if not self._lost:
                self._events.append(CameraEvent("camera-lost", reason))
            self._lost = True
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def _end(self, turn: _Turn) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._frame is None or self._turn is not turn, 5.0)
            if self._turn is turn:
                self.ended = True
            self._changed.notify_all()


class _Turn:
    """One thread's time with the source; after a stall the next turn begins beside it."""

    def __init__(self, reader: CameraReader) -> None:
        self._reader = reader
        self._camera = reader._camera
        self._left = threading.Event()
        self._source: Source | None = None

    @property
    def opening(self) -> bool:
        """Whether there is no source yet."""
        return self._source is None

    def leave(self) -> None:
        """End the turn. A pipeline is killed here, since its thread may hang in a read."""
        self._left.set()
        source = self._source
        if source is not None:
            source.interrupt()

    def run(self) -> None:
        while not self._left.is_set():
            try:
                self._source = source = self._reader._open(self._camera)
                try:
                    if self._read(source):
                        return self._reader._end(self)
                finally:
                    source.close()
                    self._source = None
            except OstiaryError as error:
                if not self._left.is_set():
                    self._reader._fail(error.message)
            self._left.wait(self._reader._wait_s)
        return None

    def _read(self, source: Source) -> bool:
        """Read until the source ends (True) or the turn does (False)."""
        still = _Stillness(self._camera.frozen_s, source.live)
        due = self._reader._clock()
        while not self._left.is_set():
            image = source.read()
            if image is None:
                return True
            if still.repeats(image, self._reader._clock()):
                # The same picture again is no new evidence: a frozen face must not collect votes.
                self._reader._alive()
                continue
            if not source.live and self._camera.drop:
                due += 1 / self._camera.fps
                self._left.wait(max(0.0, due - self._reader._clock()))
            if not self._reader._give(self, image):
                return False
        return False


class _Stillness:
    """A live camera whose every pixel stays the same has frozen: real ones have noise."""

    def __init__(self, limit_s: float, live: bool) -> None:
        self._limit_s, self._live = limit_s, live
        self._sample = b""
        self._since = 0.0

    def repeats(self, image: Image, now: float) -> bool:
        """Whether a live picture is the one before; CameraError once it was so for too long."""
        if not self._live:
            return False
        sample = image[::SAMPLE_STEP, ::SAMPLE_STEP].tobytes()
        if sample != self._sample:
            self._sample, self._since = sample, now
            return False
        if self._limit_s and now - self._since >= self._limit_s:
            raise CameraError(f"the picture has been frozen for {now - self._since:.1f} s")
        return True
