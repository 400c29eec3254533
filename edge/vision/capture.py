"""Enrollment at the door: good frames of one live person, gathered into a template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.config import Config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.types import Face, Frame, Image, Template
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline

WANTED, ENOUGH = 5, 3
"""Good frames that are gathered, and as many as will do when the time is up."""
APART_S = 0.3
"""Between two of them: frames of one moment agree with each other, and say nothing more."""
ATTACK, TIMEOUT, FAILED = "attack", "timeout", "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A template, or the reason why there is none; `seen` counts the frames by what they showed."""

    template: Template | None
    reason: str
    seen: str


class Capture:
    """Give it every frame while it is `active`, and decide nothing from them; then ask `result`."""

    def __init__(self, pipeline: Pipeline, config: Config, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._pipeline, self._clock = pipeline, clock
        self._limits = config.limits()
        self._min_live = config.pad.min_live if config.pad.required else None
        self._subject, self._until_s, self._last_s = "", 0.0, 0.0
        self._photos: list[tuple[str, Image]] = []
        self._seen: Counter[str] = Counter()
        self._done: Captured | None = None
        self.active = False

    @property
    def encoder(self) -> str:
        """Whose templates are made here."""
        return self._pipeline.bundle.encoder_id

    def begin(self, subject: str, timeout_s: float) -> bool:
        """Gather from now on; False where another capture is not done yet."""
        if self.active or self._done is not None:
            return False
        self._subject, self._until_s, self._last_s = subject, self._clock() + timeout_s, 0.0
        self._photos, self._seen = [], Counter()
        self.active = True
        return True

    def look(self, frame: Frame | None) -> None:
        """Take a frame, or none, where it is worth it; give up when the time has come."""
        if not self.active:
            return
        # Asked as what must hold, so that a time that is no number ends it.
        in_time = self._clock() < self._until_s
        if in_time and frame is not None and self._due(frame):
            self._take(frame)
        if len(self._photos) >= WANTED or not in_time:
            self._finish()

    def result(self) -> Captured | None:
        """What became of it, once; None while it gathers."""
        done, self._done = self._done, None
        return done

    def _due(self, frame: Frame) -> bool:
        return not self._photos or abs(frame.at_s - self._last_s) >= APART_S

    def _take(self, frame: Frame) -> None:
        flaw = self._flaw(frame.image)
        self._seen[flaw or "good"] += 1
        if flaw == ATTACK:
            # Nor do lucky frames of a picture add up, between others that give it away.
            self._photos = []
        elif not flaw:
            self._last_s = frame.at_s
            self._photos.append((f"frame {frame.index}", frame.image.copy()))

    def _flaw(self, image: Image) -> str:
        """What makes a frame unfit for enrollment, in the words of the answer; or nothing."""
        faces = self._pipeline.find(image)
        if not faces:
            return "no-face"
        if len(faces) > 1:
            return "two-faces"
        aligned = self._pipeline.align(image, faces[0])
        if quality.failures(self._pipeline.quality(faces[0], aligned), self._limits):
            return "low-quality"
        return "" if self._looks_live(image, faces[0]) else ATTACK

    def _looks_live(self, image: Image, face: Face) -> bool:
        return self._min_live is None or self._pipeline.live(image, face) >= self._min_live

    def _finish(self) -> None:
        seen = ", ".join(f"{count} {what}" for what, count in self._seen.most_common())
        photos, self._photos, self.active = self._photos, [], False
        # Whatever the models may throw: it is over, and answered.
        self._done = Captured(None, FAILED, seen)
        if len(photos) < ENOUGH:
            self._done = Captured(None, self._why(), seen)
            return
        try:
            template = enroll(self._pipeline, self._subject, photos, self._limits)
            self._done = Captured(template, "", seen)
        except EnrollmentRefused as error:
            self._done = Captured(None, error.reason, seen)

    def _why(self) -> str:
        """An attack above all; else what was seen most; the time alone where frames were good."""
        if self._seen[ATTACK]:
            return ATTACK
        commonest = self._seen.most_common(1)
        return TIMEOUT if not commonest or commonest[0][0] == "good" else commonest[0][0]
