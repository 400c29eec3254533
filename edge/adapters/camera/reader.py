"""The camera's thread: the newest frame wins, and a source that fails is opened again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from ostiary.edge.adapters.camera.faults import CameraEvent, SceneGuard
from ostiary.edge.adapters.camera.health import PictureHealth, checked
from ostiary.edge.adapters.camera.sources import CameraSource
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.scene.sampling import sampled
from ostiary.edge.core.types import Frame, Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.sections import CameraSection

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 1.5
"""Seconds from the start of one attempt to the start of the next: first, then at most. An event
must come within 5 s of a fault, and a picture within 5 s of the camera's return; so a hanging
attempt and the next one must fit in 5 s."""
STARTING_S, SLACK_S = 3.5, 0.5
"""Limits for opening a source, and for its first picture: at least STARTING_S, and SLACK_S more
than the source's own limit. After that a new attempt starts beside the hanging one."""
MOST_THREADS = 4
"""The most attempts that may hang at once: without a limit their threads would pile up."""

Open = Callable[[CameraSection], CameraSource]
Clock = Callable[[], float]
Wait = Callable[[threading.Event, float], None]


def _wait(left: threading.Event, seconds: float) -> None:
    left.wait(seconds)


def upright(image: Image, camera: CameraSection) -> Image:
    """A source's picture as if the camera hung upright: turned and mirrored as the profile says."""
    image = geometry.turned(image, camera.rotate)
    return np.ascontiguousarray(image[:, ::-1]) if camera.flip else image


class CameraReader:
    """Reads a source in a thread of its own; the daemon asks for the newest frame."""

    def __init__(
        self,
        camera: CameraSection,
        open_source: Open,
        clock: Clock = time.monotonic,
        wait: Wait = _wait,
    ) -> None:
        self._camera, self._open, self._clock, self._wait = camera, open_source, clock, wait
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._events: deque[CameraEvent] = deque(maxlen=64)
        self._turn: _Turn | None = None
        self._threads: list[threading.Thread] = []
        # All attempts share this object: a camera that still shows its frozen picture has not
        # recovered.
        self._watchful = PictureHealth(camera.frozen_s)
        self._guard = SceneGuard(camera.frozen_s, camera.shut_on)
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._lost = False
        self._wait_s = FIRST_WAIT_S
        self._started_s = clock()
        self.ended = False

    def start(self) -> None:
        """Start a thread that opens the source and reads it, so that a hang does not block the
        caller."""
        self._turn = _Turn(self)
        thread = threading.Thread(target=self._turn.run, name="camera", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def next(self, timeout_s: float) -> Frame | None:
        """The newest frame not yet taken; None if none came in time or the source ended.

        If the thread has been silent for `stall_s`, it is abandoned here and a new one is started.
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

    @property
    def faults(self) -> tuple[str, ...]:
        """What the pictures of a live source show to be wrong: `covered`, `looped`, `moved`."""
        return self._guard.faults

    def close(self, timeout_s: float = 1.0) -> bool:
        """Stop reading; False if a thread still hangs in a source after `timeout_s`.

        The interpreter must not be shut down around such a thread: OpenCV would abort.
        """
        with self._changed:
            turn, self._turn = self._turn, None
            self._changed.notify_all()
        if turn is not None:
            turn.leave()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _watch(self) -> None:
        """If the turn's source hangs, abandon the turn and start the next one beside it."""
        turn = self._turn
        if turn is None or not turn.hangs(self._clock()):
            return
        silent_s = self._clock() - turn.since
        self._fail(f"no frame for {silent_s:.1f} s")
        if sum(thread.is_alive() for thread in self._threads) < MOST_THREADS:
            turn.leave()
            self.start()

    # The turn's thread calls these methods.

    def _believes(self, image: Image) -> bool:
        """Whether a live source's picture shows something new. Raises CameraError if none has for
        too long."""
        seen, now = sampled(image), self._clock()
        if self._watchful.useless(seen, now):
            # A repeated picture is not passed on: a frozen face must not collect votes.
            return False
        new, events = self._guard.look(image, seen, now)
        with self._changed:
            self._events.extend(events)
        return new

    def _give(self, turn: _Turn, image: Image, size_px: tuple[int, int]) -> bool:
        """Hand a frame over; False if this turn is over."""
        with self._changed:
            if not self._camera.drop:
                self._changed.wait_for(lambda: self._frame is None or self._turn is not turn)
            if self._turn is not turn:
                return False
            self._count += 1
            now = self._clock()
            # With `drop` off, times follow the recording's frame rate, however fast it is read.
            at_s = now if self._camera.drop else self._started_s + self._count / self._camera.fps
            self._frame = Frame(image, at_s, self._count)
            self._wait_s = FIRST_WAIT_S
            if self._lost:
                self._lost = False
                self._events.append(CameraEvent("camera-back"))
            self._measure(size_px)
            self._changed.notify_all()
        return True

    def _measure(self, size_px: tuple[int, int]) -> None:
        """Report the camera's picture size if it has changed."""
        before, self._size = self._size, size_px
        if before is not None and before != size_px:
            was, now = (f"{width}x{height}" for width, height in (before, size_px))
            self._events.append(CameraEvent("camera-changed", f"{was} before, {now} now"))

    def _fail(self, reason: str) -> None:
        """Report a failure, unless the attempt before this one failed too."""
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
    """One thread's attempts to read the source; after a stall the next turn starts beside it."""

    def __init__(self, reader: CameraReader) -> None:
        self._reader = reader
        self._camera = reader._camera
        self._left = threading.Event()
        self._source: CameraSource | None = None
        self._starting_s = max(STARTING_S, reader._camera.stall_s + SLACK_S)
        self._allowed_s = self._starting_s
        self.since = reader._clock()

    def hangs(self, now: float) -> bool:
        """True if the turn's current step has taken longer than allowed."""
        return now - self.since >= self._allowed_s

    def _does(self, allowed_s: float) -> None:
        self.since, self._allowed_s = self._reader._clock(), allowed_s

    def leave(self) -> None:
        """End the turn. A pipeline is killed here, since the turn's thread may hang in a read."""
        self._left.set()
        source = self._source
        if source is not None:
            source.interrupt()

    def run(self) -> None:
        while not self._left.is_set():
            began = self._reader._clock()
            try:
                self._does(self._starting_s)
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
            self._pause(began + self._reader._wait_s - self._reader._clock())
        return None

    def _read(self, source: CameraSource) -> bool:
        """Read until the source ends (True) or the turn does (False)."""
        self._reader._watchful.opened()
        self._does(self._starting_s)
        due = self._reader._clock()
        while not self._left.is_set():
            image = source.read()
            if image is None and not source.live:
                return True
            self._does(self._camera.stall_s)
            if not source.live and self._camera.drop:
                due += 1 / self._camera.fps
                self._pause(due - self._reader._clock())
            if not self._pass_on(checked(image), source):
                return False
            self._does(self._camera.stall_s)
        return False

    def _pass_on(self, image: Image, source: CameraSource) -> bool:
        """Hand over a picture that shows something new; False if this turn is over."""
        if self._left.is_set():
            return False
        if source.live and not self._reader._believes(image):
            return True
        height, width = image.shape[:2]
        hung = upright(image, self._camera)
        return self._reader._give(self, hung, source.size_px or (width, height))

    def _pause(self, seconds: float) -> None:
        """Wait without counting as a hang; do not wait if `seconds` is 0 or less."""
        if seconds > 0:
            self._does(seconds + self._camera.stall_s)
            self._reader._wait(self._left, seconds)
