"""Joins the tracks of one person to a visit, and keeps the mean of all its embeddings.

Whoever stands at a door is looked at many times. If each look had its own chance, a stranger would
only have to wait. So a visit's score is the mean of its frames' scores, which settles instead of
being drawn anew, and a face that turns away and comes back finds its visit again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats, Probe


@dataclass(frozen=True, slots=True)
class VisitRules:
    """How long a visit lasts, and whose it is.

    A visit ends when its face has been away for `away_s`. A frame counts half as much after each
    `half_life_s`. A new track whose embedding has at least the cosine `min_known_score` with a
    visit's mean joins it. Of more than `most` visits the oldest is forgotten.
    """

    away_s: float = 60.0
    half_life_s: float = 30.0
    min_known_score: float = 0.4
    most: int = 64


class Mean:
    """A mean of unit-norm embeddings in which a frame counts half as much after each half-life."""

    __slots__ = ("_last_s", "_total", "_weight", "frames")

    def __init__(self) -> None:
        self.frames, self._weight, self._last_s = 0, 0.0, 0.0
        self._total: NDArray[np.float64] = np.zeros(0)

    def add(self, embedding: Floats, weight: float, now: float, half_life_s: float) -> None:
        """Add an embedding (dim,), which counts `weight` times, at `now`."""
        kept = 0.5 ** (max(now - self._last_s, 0.0) / half_life_s)
        new = weight * embedding.astype(np.float64)
        self._total = new if not self.frames else self._total * kept + new
        self._weight = self._weight * kept + weight
        self.frames, self._last_s = self.frames + 1, now

    def likeness(self, embedding: Floats) -> float:
        """The cosine of an embedding (dim,) with the mean direction; -1 before the first frame."""
        length = float(np.linalg.norm(self._total)) if self.frames else 0.0
        return float(self._total @ embedding) / length if length > 0 else -1.0

    def probe(self) -> Probe:
        """The probe of these frames, of which there must be one. The mean of their scores against a
        template is its cosine times its `agreement`, the length of the mean embedding."""
        length = max(float(np.linalg.norm(self._total)), 1e-12)
        unit = np.asarray(self._total / length, np.float32)
        return Probe(unit, self.frames, min(length / max(self._weight, 1e-12), 1.0))


class Visit:
    """One person's frames since they came. `id` is that of the track that began the visit.

    A frame that did not look live tells whose visit it is, since whoever comes back with the same
    photo must find it again; it lends nothing to the probe. An `attacked` visit stays so.
    """

    __slots__ = ("_evidence", "_face", "attacked", "id", "last_s")

    def __init__(self, number: int, now: float) -> None:
        self.id, self.last_s, self.attacked = number, now, False
        self._face, self._evidence = Mean(), Mean()

    @property
    def frames(self) -> int:
        """The frames that lent their embedding to the probe."""
        return self._evidence.frames

    def add(
        self, embedding: Floats, weight: float, now: float, half_life_s: float, lends: bool = True
    ) -> None:
        """Add a frame's unit-norm embedding (dim,), which counts `weight` times, at `now`; without
        `lends` it lends nothing to the probe."""
        self._face.add(embedding, weight, now, half_life_s)
        if lends:
            self._evidence.add(embedding, weight, now, half_life_s)
        self.last_s = now

    def start_over(self) -> None:
        """Forget what was lent to the probe."""
        self._evidence = Mean()

    def likeness(self, embedding: Floats) -> float:
        """The cosine of an embedding (dim,) with the mean direction; -1 before the first frame."""
        return self._face.likeness(embedding)

    def probe(self) -> Probe | None:
        """The probe of the frames that lent their embedding; None if none did."""
        return self._evidence.probe() if self.frames else None


class Visits:
    """The visits of the last minute, in memory only."""

    def __init__(self, rules: VisitRules) -> None:
        self._rules = rules
        self._known: list[Visit] = []
        self._held: Mapping[int, float] = {}

    def join(self, number: int, embedding: Floats, taken: Collection[int], now: float) -> Visit:
        """The visit that an embedding (dim,) resembles most, or a new one with the id `number`.

        Visits whose ids are `taken` belong to other faces that are in view right now.
        """
        self._known = [v for v in self._known if not self._is_over(v, now)]
        free = [visit for visit in self._known if visit.id not in taken]
        best = max(free, key=lambda visit: visit.likeness(embedding), default=None)
        if best is not None and best.likeness(embedding) >= self._rules.min_known_score:
            return best
        visit = Visit(number, now)
        self._known = sorted([*self._known, visit], key=lambda v: (v.id in self._held, v.last_s))[
            -self._rules.most :
        ]
        return visit

    def hold(self, until_s: Mapping[int, float]) -> None:
        """Remember these visits, by id, until these times at least: they are locked out."""
        self._held = until_s

    def _is_over(self, visit: Visit, now: float) -> bool:
        away = now - visit.last_s > self._rules.away_s
        return away and not now < self._held.get(visit.id, -1e18)

    def add(
        self, visit: Visit, embedding: Floats, weight: float, now: float, lends: bool = True
    ) -> None:
        """Add a frame to a visit: see `Visit.add`."""
        visit.add(embedding, weight, now, self._rules.half_life_s, lends)
