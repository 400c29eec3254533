"""From a frame to evidence: faces are detected, followed, measured, embedded and compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.config import Config
from ostiary.edge.core.faces import pad, quality
from ostiary.edge.core.faces.tracking import Track, Tracker, TrackRules
from ostiary.edge.core.rules.access import Moment
from ostiary.edge.core.rules.evidence import Evidence, Mode
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Candidate, Face, Frame
from ostiary.edge.vision.pipeline import Pipeline

SAME_FACE_FMR = 0.01
"""The false match rate (1:1) for frames of one track, which must match each other."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The evidence of one face in one frame, the face, and the milliseconds of each stage."""

    evidence: Evidence
    face: Face
    spent_ms: dict[str, float]


class Observer:
    """Follows the faces in front of the camera, and compares each with the people enrolled."""

    def __init__(
        self,
        pipeline: Pipeline,
        config: Config,
        enrolled: Enrolled,
        clock: Clock = time.perf_counter,
    ) -> None:
        """`clock` times the stages. Raises BundleError if the bundle has no DET curve."""
        self._pipeline, self._enrolled, self._clock = pipeline, enrolled, clock
        same = threshold(pipeline.curve(), SAME_FACE_FMR, 1).tau
        self._tracker = Tracker(TrackRules(min_same_score=same))
        self._limits, self._pad = config.limits(), config.pad_rules()
        self._pad_required = config.pad.required
        self._verify = config.recognition.mode is Mode.VERIFY
        self._shape: tuple[int, ...] = ()

    def observe(self, frame: Frame, claim: str | None) -> list[Sighting]:
        """The evidence of each face; in verify mode of the most prominent one, for the claim."""
        self._start_over_at(frame)
        watch = _Watch(self._clock)
        found = self._pipeline.boxes(frame.image)
        watch.lap("detect")
        faces = self._pipeline.faces(frame.image, found[:1] if self._verify else found)
        watch.lap("landmarks")
        tracks = self._tracker.update(faces, frame.at_s)
        return [self._sight(frame, track, claim, watch.copy()) for track in tracks]

    def _start_over_at(self, frame: Frame) -> None:
        """Forget all tracks if the picture's size has changed: the boxes of one size mean nothing
        in another.

        Otherwise boxes of two people could overlap, and one person be taken for the other.
        """
        shape = frame.image.shape
        if shape != self._shape:
            self._shape = shape
            # At the end of time every track is too old. Track ids continue, since policy remembers
            # them.
            self._tracker.update([], math.inf)

    def _sight(self, frame: Frame, track: Track, claim: str | None, watch: _Watch) -> Sighting:
        face, tau = track.face, self._enrolled.tau
        aligned = self._pipeline.align(frame.image, face)
        failed = quality.failures(self._pipeline.quality(face, aligned), self._limits)
        watch.lap("align")
        if failed:
            return Sighting(Evidence(track.id, tau.tau, tau.k, failed), face, watch.spent_ms)
        live = None
        if self._pad_required:
            live = self._pipeline.live(frame.image, face)
            watch.lap("pad")
        embedding = self._pipeline.probe(aligned)
        watch.lap("embed")
        self._tracker.add(track, embedding, live)
        candidates = self._candidates(track, claim)
        watch.lap("search")
        evidence = Evidence(
            track.id,
            tau.tau,
            tau.k,
            (),
            pad.judge(track.live, self._pad),
            candidates,
            self._enrolled.barred(candidates),
            self._enrolled.least_probability,
        )
        return Sighting(evidence, face, watch.spent_ms)

    def _candidates(self, track: Track, claim: str | None) -> tuple[Candidate, ...]:
        probe = track.probe()
        return () if probe is None else self._enrolled.candidates(probe.embedding, claim)


def open_enrolled(
    pipeline: Pipeline, config: Config, moment: Callable[[], Moment] | None = None
) -> Enrolled:
    """An Enrolled without people, with the curves of a pipeline's encoder.

    Raises BundleError if the bundle has no DET curve, or if the profile asks for a logistic head
    that the bundle does not have.
    """
    head = pipeline.head() if config.recognition.verifier else None
    return Enrolled(pipeline.bundle.dim, pipeline.curve(), config, moment, head)


class _Watch:
    """A stopwatch that gives laps in milliseconds."""

    def __init__(self, clock: Clock, spent_ms: dict[str, float] | None = None) -> None:
        self._clock, self.spent_ms = clock, spent_ms or {}
        self._last = clock()

    def lap(self, name: str) -> None:
        now = self._clock()
        self.spent_ms[name] = (now - self._last) * 1e3
        self._last = now

    def copy(self) -> _Watch:
        return _Watch(self._clock, dict(self.spent_ms))
