"""The values that pass from a frame to a decision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(height, width, 3) uint8, BGR as OpenCV reads it."""
Floats = NDArray[np.float32]
SUBJECT = re.compile(r"[a-z0-9-]{1,64}")
"""The form of a subject's id; use `fullmatch`."""
MOST_NAME = 200
"""The most characters of a person's name."""


def is_name(text: str) -> bool:
    """Whether a text may be a person's name: at most MOST_NAME characters, all printable."""
    return len(text) <= MOST_NAME and text.isprintable()


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera source, taken at the monotonic time `at_s`; `index` is its number."""

    image: Image
    at_s: float
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face. `box_px` (4,) is x1, y1, x2, y2. `points_px` (5, 2) is right eye, left eye,
    nose tip, right and left mouth corner, where right is the subject's right (left in the picture).
    `score` is the detector's, 0 to 1; `upright` is how upright the face looks, 0 or more if it is
    upright, and None if the bundle has no head for this (`ostiary.edge.core.faces.upright`)."""

    box_px: Floats
    points_px: Floats
    score: float
    upright: float | None = None

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return float(max(self.box_px[2] - self.box_px[0], self.box_px[3] - self.box_px[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """The embedding to compare: unit-norm float32 (dim,), fused from `frames` frames.

    `agreement`, 0 to 1, is the length of the mean of these frames' embeddings: 1 if all are alike.
    Cosine times agreement is the mean of the frames' scores.
    """

    embedding: Floats
    frames: int = 1
    agreement: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A stored embedding of one subject; valid only for the encoder whose id it carries. `photos`
    counts the photos or frames that it was fused from; it is 0 if that is unknown."""

    subject: str
    encoder: str
    embedding: Floats
    photos: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject and its raw cosine score against the probe, before any policy.

    `probability` (0 to 1) is the logistic head's, that both are the same person; None if no head
    was asked (`ostiary.edge.core.scores.verifier`).
    """

    subject: str
    score: float
    probability: float | None = None


class Outcome(str, Enum):
    """What the door does."""

    GRANTED = "granted"
    DENIED = "denied"


class Reason(str, Enum):
    """The reason of a decision."""

    MATCHED = "matched"
    UNKNOWN = "unknown"
    MISMATCH = "mismatch"
    AMBIGUOUS = "ambiguous"
    ATTACK = "attack"
    LOW_QUALITY = "low-quality"
    COVERED = "covered"
    NOT_HERE = "not-here"
    OUTSIDE_SCHEDULE = "outside-schedule"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    ROSTER_STALE = "roster-stale"
    COMMANDED = "commanded"
    DEGRADED = "degraded"
    LOCKED_OUT = "locked-out"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome after policy. `subject` is the matched or the claimed one; None if no subject
    reached tau. `score` and `tau` are raw cosines; `k` is the number of templates searched; `track`
    is the face's id, None without a face. If a logistic head was asked, `probability` is its answer
    and `least_probability` the least that was required."""

    outcome: Outcome
    reason: Reason
    subject: str | None = None
    score: float | None = None
    tau: float | None = None
    k: int = 0
    track: int | None = None
    probability: float | None = None
    least_probability: float | None = None

    @property
    def granted(self) -> bool:
        return self.outcome is Outcome.GRANTED
