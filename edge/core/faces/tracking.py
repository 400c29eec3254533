"""Joins faces of several frames to tracks, and fuses one probe for each track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ostiary.edge.core.faces import geometry
from ostiary.edge.core.types import Face, Floats, Probe


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
    """One face over several frames; `live` holds the newest live probabilities (0..1)."""

    id: int
    face: Face
    first_s: float
    last_s: float
    embeddings: list[Floats] = field(default_factory=list)
    live: list[float] = field(default_factory=list)

    def probe(self) -> Probe | None:
        """The probe fused from the newest frames; None before the first embedding."""
        return Probe(fuse(self.embeddings), len(self.embeddings)) if self.embeddings else None


def fuse(embeddings: Sequence[Floats]) -> Floats:
    """The mean of some unit vectors, scaled to unit length: one probe from several frames."""
    total = np.sum(np.asarray(embeddings, np.float64), axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)


class Tracker:
    """Follows faces by the overlap of boxes; embeddings check that it is still the same person."""

    def __init__(self, rules: TrackRules) -> None:
        self._rules = rules
        self._tracks: list[Track] = []
        self._next = 1

    def update(self, faces: Sequence[Face], now: float) -> list[Track]:
        """The tracks of this frame's faces, in the order of `faces`."""
        alive = [t for t in self._tracks if now - t.last_s <= self._rules.forget_s]
        overlaps = sorted(
            (
                (geometry.iou(track.face.box_px, face.box_px), t, f)
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
            track.face, track.last_s = face, now
            seen.append(track)
        self._tracks = alive
        return seen

    def add(self, track: Track, embedding: Floats, live: float | None) -> None:
        """Give a track this frame's embedding and live probability.

        If the embedding is another person's, the track starts over with a new id: one person's
        votes and liveness must never count for another.
        """
        if track.embeddings and self._another(track, embedding):
            track.id, track.first_s = self._take_id(), track.last_s
            track.embeddings, track.live = [], []
        track.embeddings = [*track.embeddings, embedding][-self._rules.window :]
        if live is not None:
            track.live = [*track.live, live][-self._rules.window :]

    def _another(self, track: Track, embedding: Floats) -> bool:
        return float(fuse(track.embeddings) @ embedding) < self._rules.min_same_score

    def _begin(self, face: Face, now: float) -> Track:
        return Track(self._take_id(), face, now, now)

    def _take_id(self) -> int:
        self._next += 1
        return self._next - 1
