"""Enrollment at the door: collects good frames of one live person for a template."""

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
"""Good frames to collect, and the number that is enough when the time is up."""
APART_S = 0.3
"""Seconds between two good frames: frames taken together are alike and add no information."""
ATTACK, TIMEOUT, FAILED = "attack", "timeout", "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A template, or None and the reason; `seen` counts frames by what they showed."""

    template: Template | None
    reason: str
    seen: str


class Capture:
    """Makes one template at a time. While `active`, call `look` with every frame and make no
    decisions; afterwards `result` has the outcome."""

    def __init__(self, pipeline: Pipeline, config: Config, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._pipeline, self._clock = pipeline, clock
        self._limits = config.limits()
        self._strict = quality.for_template(self._limits)
        self._min_live = config.pad.min_live if config.pad.required else None
        self._subject, self._until_s, self._last_s = "", 0.0, 0.0
        self._photos: list[tuple[str, Image]] = []
        self._seen: Counter[str] = Counter()
        self._done: Captured | None = None
        self.active = False

    @property
    def encoder(self) -> str:
        """The id of the encoder that makes the templates."""
        return self._pipeline.bundle.encoder_id

    def begin(self, subject: str, timeout_s: float) -> bool:
        """Start collecting; False if another capture has not ended yet."""
        if self.active or self._done is not None:
            return False
        self._subject, self._until_s, self._last_s = subject, self._clock() + timeout_s, 0.0
        self._photos, self._seen = [], Counter()
        self.active = True
        return True

    def look(self, frame: Frame | None) -> None:
        """Use a frame if there is one; end the capture when it is full or timed out."""
        if not self.active:
            return
        # Written as the condition that must hold, so that a time of NaN ends the capture.
        in_time = self._clock() < self._until_s
        if in_time and frame is not None and self._due(frame):
            self._take(frame)
        if len(self._photos) >= WANTED or not in_time:
            self._finish()

    def result(self) -> Captured | None:
        """The outcome, returned once; None while the capture runs."""
        done, self._done = self._done, None
        return done

    def _due(self, frame: Frame) -> bool:
        return not self._photos or abs(frame.at_s - self._last_s) >= APART_S

    def _take(self, frame: Frame) -> None:
        flaw = self._flaw(frame.image)
        self._seen[flaw or "good"] += 1
        if flaw == ATTACK:
            # Start over, so that frames of a photo that happen to pass PAD cannot accumulate.
            self._photos = []
        elif not flaw:
            self._last_s = frame.at_s
            self._photos.append((f"frame {frame.index}", frame.image.copy()))

    def _flaw(self, image: Image) -> str:
        """Why a frame is unfit for enrollment, in the words of the answer; or an empty text."""
        faces = self._pipeline.find(image)
        if not faces:
            return "no-face"
        if len(faces) > 1:
            return "two-faces"
        aligned = self._pipeline.align(image, faces[0])
        failed = quality.failures(self._pipeline.quality(faces[0], aligned), self._strict)
        if quality.NOT_UPRIGHT in failed:
            return quality.NOT_UPRIGHT
        if quality.is_covered(failed):
            return quality.COVERED
        if failed:
            return "low-quality"
        return "" if self._looks_live(image, faces[0]) else ATTACK

    def _looks_live(self, image: Image, face: Face) -> bool:
        return self._min_live is None or self._pipeline.live(image, face) >= self._min_live

    def _finish(self) -> None:
        seen = ", ".join(f"{count} {what}" for what, count in self._seen.most_common())
        photos, self._photos, self.active = self._photos, [], False
        # Set before the models run: even if they raise an error, the capture ends with an answer.
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
        """Why there is no template: an attack if one was seen, else the most frequent flaw, or
        `timeout` if most frames were good."""
        if self._seen[ATTACK]:
            return ATTACK
        commonest = self._seen.most_common(1)
        return TIMEOUT if not commonest or commonest[0][0] == "good" else commonest[0][0]
