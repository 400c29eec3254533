"""What a template may learn from a grant, and how far that may move it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ostiary.edge.core.faces.tracking import fuse
from ostiary.edge.core.types import Floats

LEAST_SCORE = 0.5
"""The least score of a sample to the enrolled template, however low tau is."""
LEAST_COSINE = math.sqrt((1 + LEAST_SCORE) / 2)
"""The least cosine of an effective template to the enrolled one, .866, whatever was learned.

The mean of samples that score LEAST_SCORE or more lies at most 60 degrees from the enrolled
template. The enrolled template counts at least half, so the sum lies at most half as far: at most
30 degrees.
"""
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class LearningRules:
    """When a template learns.

    A grant is sure if its score to the enrolled template would pass at the share `stricter` of the
    wanted error rate too. Two samples of a subject are at least `apart_h` hours apart, and at most
    `samples` are kept.
    """

    stricter: float = 0.01
    apart_h: float = 20.0
    samples: int = 5


def is_due(rules: LearningRules, last_s: float | None, now_s: float) -> bool:
    """Whether a subject whose newest sample is from `last_s` (None: no sample) may learn now.

    Both are seconds since 1970. A sample from the future, after the clock was set back, delays the
    next one: a template may learn too little, but never too often.
    """
    # Written as the condition that must hold, so that a time of NaN teaches nothing.
    return last_s is None or now_s - last_s >= rules.apart_h * HOUR_S


def is_sure(score: float, tau: float) -> bool:
    """Whether a sample is the subject beyond doubt.

    `score` is that of the sample and the ENROLLED template, never that of the learned one:
    otherwise each sample could admit one a little farther off, and the template creep to another
    person. `tau` is that of the stricter rate. NaN is refused.
    """
    return score >= max(tau, LEAST_SCORE)


def effective(enrolled: Floats, samples: Sequence[Floats], photos: int) -> Floats:
    """The template to search, unit-norm float32 (dim,): the enrolled one and what was learned.

    `enrolled` and `samples` are unit-norm (dim,), and each sample was sure. The enrolled template
    weighs as much as its `photos` (an unknown number, 0, counts as one) among all photos and
    samples, but never less than half. So LEAST_COSINE holds.
    """
    if not samples:
        return enrolled
    own = max(photos, 1)
    weight = max(0.5, own / (own + len(samples)))
    total = weight * enrolled.astype(np.float64) + (1 - weight) * fuse(samples).astype(np.float64)
    return np.asarray(total / np.linalg.norm(total), np.float32)


def photos_of(photos: int, samples: int) -> int:
    """The number of photos that an effective template counts for when tau is derived.

    With samples, strangers score higher against it, as against a template of more photos: tau must
    rise, or the FPIR would be above the one asked. An unknown number, 0, stays unknown.
    """
    return photos + samples if photos else 0
