"""Joins faces of several frames to tracks, and tracks to visits; fuses the probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ostiary.edge.core.faces import geometry
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.faces.visits import Visit, VisitRules, Visits
from ostiary.edge.core.pad.liveness import Liveness
from ostiary.edge.core.types import Floats


@dataclass(frozen=True, slots=True)
class TrackRules:
    """When faces belong to one track.

    `min_iou` is the least overlap of two boxes, `forget_s` how long the face may be out of view,
    `window` how many frames are fused. A cosine below `min_same_score` means another person.
    """

    min_iou: float = 0.3
    forget_s: float = 0.6
    window: int = 8
    min_same_score: float = 0.2


@dataclass(slots=True, eq=False)
class Track:
    """One face over several frames, as it was `found` in the newest.

    `embeddings` are those of the newest frames, `lent` those of them that may count for a probe,
    and `learnable` says of each lent one if a template may learn from its frame. `liveness` is
    PAD's evidence, if PAD is required. `id` is that of its visit, once there is an embedding: a
    face that comes back has it again. `looked_s` is when the models looked at it, and `promising`
    counts the looks in a row, up to the newest, that reached tau.
    """

    id: int
    found: Found
    first_s: float
    last_s: float
    embeddings: list[Floats] = field(default_factory=list)
    lent: list[Floats] = field(default_factory=list)
    learnable: list[bool] = field(default_factory=list)
    liveness: Liveness | None = None
    visit: Visit | None = None
    looked_s: float = -math.inf
    promising: int = 0


def fuse(embeddings: Sequence[Floats]) -> Floats:
    """The mean of some unit vectors, scaled to unit length: one probe from several frames."""
    total = np.sum(np.asarray(embeddings, np.float64), axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)


class Tracker:
    """Follows faces by the overlap of boxes; embeddings check that it is still the same person."""

    def __init__(self, rules: TrackRules, visits: VisitRules | None = None) -> None:
        self._rules, self._visits = rules, Visits(visits or VisitRules())
        self._tracks: list[Track] = []
        self._next = 1

    def update(self, faces: Sequence[Found], now: float) -> list[Track]:
        """The tracks of the faces found in this frame, in the order of `faces`."""
        alive = [t for t in self._tracks if now - t.last_s <= self._rules.forget_s]
        overlaps = sorted(
            (
                (geometry.iou(track.found[0], face[0]), t, f)
                for t, track in enumerate(alive)
                for f, face in enumerate(faces)
            ),
            reverse=True,
        )
        pairs: dict[int, Track] = {}
        taken: set[int] = set()
        for overlap, t, f in overlaps:
            if overlap >= self._rules.min_iou and t not in taken and f not in pairs:
                taken.add(t)
                pairs[f] = alive[t]
        seen = []
        for f, face in enumerate(faces):
            track = pairs.get(f)
            if track is None:
                track = self._begin(face, now)
                alive.append(track)
            track.found, track.last_s = face, now
            seen.append(track)
        self._tracks = alive
        return seen

    def add(
        self,
        track: Track,
        embedding: Floats,
        weight: float = 1.0,
        lends: bool = True,
        learnable: bool = False,
    ) -> Visit:
        """Give a track, and its visit, this frame's embedding and weight, whether it `lends` the
        embedding to the probe, and whether it is `learnable`.

        Returns the visit. If the embedding is another person's, the track starts over: one
        person's votes and liveness must never count for another.
        """
        if track.embeddings and self._another(track, embedding):
            track.id, track.first_s, track.visit = self._take_id(), track.last_s, None
            track.embeddings, track.lent, track.learnable = [], [], []
            if track.liveness is not None:
                track.liveness.start_over()
        now = track.last_s
        if track.visit is None:
            taken = {t.id for t in self._tracks if t is not track and t.last_s == now}
            track.visit = self._visits.join(track.id, embedding, taken, now)
            track.id = track.visit.id
        self._visits.add(track.visit, embedding, weight, now, lends)
        track.embeddings = [*track.embeddings, embedding][-self._rules.window :]
        if lends:
            track.lent = [*track.lent, embedding][-self._rules.window :]
            track.learnable = [*track.learnable, learnable][-self._rules.window :]
        return track.visit

    def start_over(self, track: Track) -> None:
        """Forget what a track and its visit have lent to the probe."""
        track.lent, track.learnable, track.promising = [], [], 0
        if track.visit is not None:
            track.visit.start_over()

    def hold(self, until_s: Mapping[int, float]) -> None:
        """Remember some faces longer: see `Visits.hold`."""
        self._visits.hold(until_s)

    def _another(self, track: Track, embedding: Floats) -> bool:
        return float(fuse(track.embeddings) @ embedding) < self._rules.min_same_score

    def _begin(self, face: Found, now: float) -> Track:
        return Track(self._take_id(), face, now, now)

    def _take_id(self) -> int:
        self._next += 1
        return self._next - 1
