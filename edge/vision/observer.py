"""From a frame to evidence: faces, tracks, quality, PAD, probes, candidates and their rights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.faces import pad, quality
from ostiary.edge.core.faces.pad import Presentation
from ostiary.edge.core.faces.tracking import Track, Tracker, TrackRules
from ostiary.edge.core.rules import access
from ostiary.edge.core.rules.access import Kinds, Moment, Rights
from ostiary.edge.core.rules.policy import Evidence, Mode
from ostiary.edge.core.scores.calibration import Threshold, threshold
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Candidate, Face, Floats, Frame, Reason
from ostiary.edge.vision.pipeline import Pipeline

SAME_FACE_FMR = 0.01
"""Frames of one track must look alike at least as a match at this 1:1 rate would."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The evidence of one face in one frame, where it was, and what each stage took (ms)."""

    evidence: Evidence
    face: Face
    spent_ms: dict[str, float]


class Observer:
    """Holds the gallery, the tau for its size and rights, and follows the faces before the camera.

    `rights` are those of the gallery's subjects as the roster gave them; who has none, at a door
    that stands alone, is never barred. While `stale`, nobody passes: the roster is too old.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        config: Config,
        clock: Clock = time.perf_counter,
        moment: Callable[[], Moment] | None = None,
    ) -> None:
        """`moment` says what time it is at the door; without it the system's clock does.

        Raises BundleError where the bundle has no DET curve to take tau from, or no logistic head
        where the profile asks for one.
        """
        self._pipeline, self._config, self._clock = pipeline, config, clock
        self._curve = pipeline.curve()
        same = threshold(self._curve, SAME_FACE_FMR, 1).tau
        self._tracker = Tracker(TrackRules(min_same_score=same))
        self._limits, self._pad = config.limits(), config.pad_rules()
        self._size: tuple[int, ...] = ()
        self._moment = moment or WallClock(config.access.timezone)
        self._kinds = Kinds()
        self.rights: dict[str, Rights] = {}
        self.stale = False
        self.gallery = Gallery(pipeline.bundle.dim)
        self.tau = self._tau()
        self._head: Verifier | None = None
        self.least_logit: Threshold | None = None
        if config.recognition.verifier:
            self._head, judged = pipeline.head()
            self.least_logit = threshold(judged, config.recognition.fmr, 1)

    @property
    def least_probability(self) -> float | None:
        """What the logistic head must say at least of a claim; None where it is not asked."""
        return None if self.least_logit is None else probability(self.least_logit.tau)

    def load(self, templates: list[tuple[str, Floats]]) -> None:
        """Search these templates from now on, with the tau for how many they are; no rights."""
        gallery = Gallery(self._pipeline.bundle.dim)
        gallery.put_many(templates)
        self.gallery, self.rights, self._kinds = gallery, {}, Kinds()
        self.tau = self._tau()

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights]], removed: Sequence[str]
    ) -> None:
        """Take over changes of the roster: each subject's (n, dim) templates in place of any it
        had, and its rights. One without templates (None) is not searched; one in both is removed.
        """
        given = {subject: (templates, rights) for subject, templates, rights in put}
        without = [subject for subject, (templates, _) in given.items() if templates is None]
        # First, so that nothing that follows can keep somebody in.
        for subject in (*removed, *without):
            given.pop(subject, None)
            self.rights.pop(subject, None)
            self.gallery.remove(subject)
        self.rights.update({s: self._kinds.one(rights) for s, (_, rights) in given.items()})
        self._kinds.tidy(self.rights.values())
        self.gallery.put_many((s, t) for s, (t, _) in given.items() if t is not None)
        self.tau = self._tau()

    def _tau(self) -> Threshold:
        """The threshold of the mode: 1:K for as many as are searched, 1:1 for a claim."""
        wanted = self._config.recognition
        if wanted.mode is Mode.VERIFY:
            return threshold(self._curve, wanted.fmr, 1)
        return threshold(self._curve, wanted.fpir, len(self.gallery))

    def observe(self, frame: Frame, claim: str | None) -> list[Sighting]:
        """The evidence of each face; in verify mode of the most prominent one, for the claim."""
        self._start_over_at(frame)
        watch = _Watch(self._clock)
        found = self._pipeline.boxes(frame.image)
        verify = self._config.recognition.mode is Mode.VERIFY
        watch.lap("detect")
        faces = self._pipeline.faces(frame.image, found[:1] if verify else found)
        watch.lap("landmarks")
        tracks = self._tracker.update(faces, frame.at_s)
        return [self._sight(frame, track, claim, watch.copy()) for track in tracks]

    def _start_over_at(self, frame: Frame) -> None:
        """Forget all faces where the picture has another size: boxes of the old one mean nothing.

        Two people's boxes could overlap then, and one be taken for the other.
        """
        size = frame.image.shape
        if size != self._size:
            self._size = size
            # At the end of time every track is too old; ids go on, since policy remembers them.
            self._tracker.update([], math.inf)

    def _sight(self, frame: Frame, track: Track, claim: str | None, watch: _Watch) -> Sighting:
        face = track.face
        aligned = self._pipeline.align(frame.image, face)
        failed = quality.failures(self._pipeline.quality(face, aligned), self._limits)
        watch.lap("align")
        if failed:
            evidence = Evidence(track.id, self.tau.tau, self.tau.k, failed)
            return Sighting(evidence, face, watch.spent_ms)
        live = None
        if self._config.pad.required:
            live = self._pipeline.live(frame.image, face)
            watch.lap("pad")
        embedding = self._pipeline.probe(aligned)
        watch.lap("embed")
        self._tracker.add(track, embedding, live)
        candidates = self._candidates(track, claim)
        watch.lap("search")
        evidence = Evidence(
            track.id,
            self.tau.tau,
            self.tau.k,
            (),
            self._presentation(track),
            candidates,
            self.barred(candidates),
            self.least_probability,
        )
        return Sighting(evidence, face, watch.spent_ms)

    def _presentation(self, track: Track) -> Presentation:
        return pad.judge(track.live, self._pad)

    def _candidates(self, track: Track, claim: str | None) -> tuple[Candidate, ...]:
        probe = track.probe()
        if probe is None:
            return ()
        if self._config.recognition.mode is Mode.IDENTIFY:
            return self.gallery.identify(probe.embedding)
        if claim is None:
            return ()
        candidate = self.gallery.verify(probe.embedding, claim, self._head)
        return () if candidate is None else (candidate,)

    def barred(self, candidates: tuple[Candidate, ...]) -> Reason | None:
        """Why the best of them may not pass here and now."""
        if not candidates:
            return None
        if self.stale:
            return Reason.ROSTER_STALE
        rights = self.rights.get(candidates[0].subject)
        if rights is None:
            return None
        return access.barred(rights, self._config.access.groups, self._moment())


class _Watch:
    """Laps in milliseconds."""

    def __init__(self, clock: Clock, spent_ms: dict[str, float] | None = None) -> None:
        self._clock, self.spent_ms = clock, spent_ms or {}
        self._last = clock()

    def lap(self, name: str) -> None:
        now = self._clock()
        self.spent_ms[name] = (now - self._last) * 1e3
        self._last = now

    def copy(self) -> _Watch:
        return _Watch(self._clock, dict(self.spent_ms))
