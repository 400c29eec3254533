"""From a frame to evidence: faces are detected, followed, measured, embedded and compared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.config import Config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.tracking import Track, Tracker, TrackRules, fuse
from ostiary.edge.core.faces.visits import Visit, VisitRules
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules.access import Moment
from ostiary.edge.core.rules.evidence import Evidence
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Candidate, Face, Frame, Probe
from ostiary.edge.vision import attention
from ostiary.edge.vision.liveness import NOT_ASKED, LivenessWatch, pad_rules
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.search import FaceSearch
from ostiary.edge.vision.turns import CameraWatch

SAME_FACE_FMR = 0.01
"""The false match rate (1:1) for frames of one track, which must match each other."""
KNOWN_FACE_FMR = 1e-4
"""The false match rate (1:1) at which a new track joins a visit of the last minute."""
FULL_WEIGHT_PX = 40.0
"""The distance between the eyes from which a frame counts fully in its visit; a smaller face counts
by its area, so that whoever comes nearer is soon judged by what is seen best."""

FORGET_S = TrackRules().forget_s
"""How long a face may be out of view and still be the same, in seconds."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The evidence of one face in one frame, the face, and the milliseconds of each stage.

    `sample` is the fused probe if a template may learn from it: every frame behind it looked live
    and is of good quality. It says nothing about whose face it is.
    """

    evidence: Evidence
    face: Face
    spent_ms: dict[str, float]
    sample: Probe | None = None
    new_attack: bool = False


class Observer:
    """Follows the faces in front of the camera, and compares each with the people enrolled."""

    def __init__(
        self,
        pipeline: Pipeline,
        config: Config,
        enrolled: Enrolled,
        clock: Clock = time.perf_counter,
        forget_s: float = FORGET_S,
    ) -> None:
        """`clock` times the stages. A face may be out of view for `forget_s` seconds: a recording
        of few frames a second needs more than a camera. Raises BundleError if the bundle has no DET
        curve."""
        self._pipeline, self._enrolled, self._clock = pipeline, enrolled, clock
        same, known = (
            threshold(pipeline.curve(), fmr, 1).tau for fmr in (SAME_FACE_FMR, KNOWN_FACE_FMR)
        )
        self._tracker = Tracker(
            TrackRules(forget_s=forget_s, min_same_score=same), VisitRules(min_known_score=known)
        )
        self._camera = CameraWatch(pipeline)
        self._limits = config.limits()
        self._demanding = quality.demanding(self._limits)
        rules = pad_rules(pipeline.bundle, config) if config.pad.required else None
        self._liveness = None if rules is None else LivenessWatch(pipeline, rules)
        self._search = FaceSearch(pipeline, config.camera.least_face_px)
        self._looks = max(config.recognition.votes, rules.frames if rules else 0)
        self._shape: tuple[int, ...] = ()

    @property
    def camera_turn(self) -> int:
        """The degrees clockwise by which the camera's picture would have to be turned, because the
        faces in it are not upright; 0 if it hangs upright, as far as is known."""
        return self._camera.turn

    @property
    def least_eye_px(self) -> float:
        """The least distance between the eyes, in pixels of the camera's picture, of a face that is
        found; 0 before the first frame."""
        return self._search.least_eye_px

    def observe(self, frame: Frame, claim: str | None) -> list[Sighting]:
        """The evidence of the faces whose turn it is, the most prominent first."""
        self._start_over_at(frame)
        watch = _Watch(self._clock)
        found = self._search.boxes(frame.image, frame.at_s)
        watch.lap("detect")
        tracks = self._tracker.update(found, frame.at_s)
        due = attention.due(tracks, self._looks)
        faces = self._pipeline.faces(frame.image, [track.found for track in due])
        self._camera.see(frame, faces)
        watch.lap("landmarks")
        return [
            self._sight(frame, track, face, tracks, claim, watch.copy())
            for track, face in zip(due, faces, strict=True)
        ]

    def hold(self, until_s: Mapping[int, float]) -> None:
        """Remember the faces with these tracks until these times: they are locked out."""
        self._tracker.hold(until_s)

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

    def _sight(
        self,
        frame: Frame,
        track: Track,
        face: Face,
        tracks: Sequence[Track],
        claim: str | None,
        watch: _Watch,
    ) -> Sighting:
        tau, k = self._enrolled.tau_among(len(tracks)), self._enrolled.tau.k
        track.looked_s = frame.at_s
        aligned = self._pipeline.align(frame.image, face)
        measured = self._pipeline.quality(face, aligned)
        failed = quality.failures(measured, self._limits)
        watch.lap("align")
        if failed:
            unusable = Evidence(track.id, tau, k, failed, **_around(track, tracks))
            return Sighting(unusable, face, watch.spent_ms)
        lends, verdict = True, NOT_ASKED
        if self._liveness is not None:
            seen = self._liveness.look(frame, track, face)
            lends = seen.newest_lived
            if seen.restarted:
                self._tracker.start_over(track)
            watch.lap("pad")
        embedding = self._pipeline.probe(aligned)
        watch.lap("embed")
        # Without PAD nobody is known to be live, and nothing is learned.
        learnable = self._liveness is not None and not quality.failures(measured, self._demanding)
        weight = min(measured.eye_distance_px / FULL_WEIGHT_PX, 1.0) ** 2
        visit = self._tracker.add(track, embedding, weight, lends, learnable)
        if self._liveness is not None:
            verdict = self._liveness.judge(frame, track, face, embedding)
            watch.lap("motion")
        is_new = verdict.presentation is Presentation.ATTACK and not visit.attacked
        presentation = _held_against(visit, verdict.presentation)
        candidates = self._compared(track, visit.probe(), claim)
        watch.lap("search")
        near = bool(candidates) and candidates[0].score >= tau
        track.promising = track.promising + 1 if near else 0
        evidence = Evidence(
            track.id,
            tau,
            k,
            (),
            presentation,
            candidates,
            self._enrolled.barred(candidates),
            self._enrolled.least_probability,
            cues=verdict.scores,
            **_around(track, tracks),
        )
        teaches = bool(track.lent) and lends and all(track.learnable)
        sample = Probe(fuse(track.lent), len(track.lent)) if teaches else None
        return Sighting(evidence, face, watch.spent_ms, sample, is_new)

    def _compared(
        self, track: Track, probe: Probe | None, claim: str | None
    ) -> tuple[Candidate, ...]:
        """The candidates of a track; none if none of its own frames lent its embedding."""
        if probe is None or not track.lent:
            return ()
        return self._enrolled.candidates(probe, claim, fuse(track.lent))


def _held_against(visit: Visit, presentation: Presentation) -> Presentation:
    """An attack seen in a visit holds against that visit, whatever is shown next."""
    visit.attacked |= presentation is Presentation.ATTACK
    return Presentation.ATTACK if visit.attacked else presentation


def _around(track: Track, tracks: Sequence[Track]) -> dict[str, Any]:
    """What evidence says of the other faces in view; `tracks` begin with the most prominent."""
    others = tuple(other.id for other in tracks if other is not track)
    return {"others": others, "behind": track is not tracks[0]}


def open_enrolled(
    pipeline: Pipeline, config: Config, moment: Callable[[], Moment] | None = None
) -> Enrolled:
    """An Enrolled without people, with the curves of a pipeline's encoder.

    Raises BundleError if the bundle has no DET curve, or if the profile asks for a logistic head
    that the bundle does not have.
    """
    head = pipeline.head() if config.recognition.verifier else None
    curves = pipeline.curves(worst=config.recognition.tau == "worst-group")
    return Enrolled(pipeline.bundle.dim, curves, config, moment, head)


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
