"""How cues become a verdict: z-scores on living faces, and thresholds of their quantiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

MOST_Z = 1.0
"""A cue counts at most so much for a living face: one cue must not rescue another."""
LEAST_Z = -8.0
"""And at most so much against it, so that one odd frame does not settle a verdict of many."""


class Presentation(str, Enum):
    """What is in front of the camera, by the frames so far."""

    BONA_FIDE = "bona-fide"
    ATTACK = "attack"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean and the standard deviation of a cue over living faces; a cue is larger for them."""

    mean: float
    std: float

    def z(self, value: float) -> float:
        """The z-score of a value, LEAST_Z to MOST_Z; LEAST_Z if it is not a number."""
        score = (value - self.mean) / self.std
        return LEAST_Z if math.isnan(score) else min(max(score, LEAST_Z), MOST_Z)


@dataclass(frozen=True, slots=True)
class CueRules:
    """One kind of cues, passive or motion: how each is scaled, and what their score means.

    The score is the mean of the cues' z-scores. Over a verdict's looks its mean is that of a living
    face from `live` on, and of an attack at once below `attack`.
    """

    scales: Mapping[str, Scale]
    live: float
    attack: float

    def score(self, cues: Mapping[str, float]) -> float:
        """The score of one look. Raises KeyError if a cue is missing."""
        return sum(scale.z(cues[name]) for name, scale in self.scales.items()) / len(self.scales)


@dataclass(frozen=True, slots=True)
class PadRules:
    """When a face counts as bona fide.

    A frame looked live if its passive score is at least `frame`, and starts the face's evidence
    over below `restart`. A verdict needs `frames` frames over `span_s` seconds, and with `motion`
    `pairs` pairs of frames at least `apart_s` apart. Both scores must say that the face lives; a
    face that is not bona fide after `patience_s` is an attack. Evidence counts for `memory_s`.
    """

    passive: CueRules
    motion: CueRules | None = None
    frame: float = 0.0
    restart: float = -math.inf
    frames: int = 5
    pairs: int = 3
    apart_s: float = 0.5
    span_s: float = 0.0
    patience_s: float = 3.0
    memory_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict and the scores behind it, by kind of cue; empty without a look."""

    presentation: Presentation
    scores: Mapping[str, float] = field(default_factory=dict)
