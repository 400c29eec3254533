"""The logistic head: the probability that two embeddings are of one person, for a 1:1 claim."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Verifier:
    """p = 1 / (1 + exp(-z)) with z = sum_k weights[k] * |a_k - b_k| + bias.

    The weighted L1 head of a siamese network (Taigman et al., DeepFace, 2014, section 4.2; Koch et
    al., Siamese neural networks for one-shot image recognition, 2015). `weights` (dim,) float64.
    """

    weights: NDArray[np.float64]
    bias: float

    def logits(self, templates: Floats, probe: Floats) -> NDArray[np.float64]:
        """The logits z (n,) of n templates (n, dim) against a probe (dim,), summed in float64."""
        apart = np.abs(templates.astype(np.float64) - probe.astype(np.float64))
        return np.asarray(apart @ self.weights + self.bias)

    def likeliest(self, templates: Floats, probe: Floats) -> tuple[int, float]:
        """Index and p of the template with the highest p; a template with NaN counts as highest."""
        logits = self.logits(templates, probe)
        at = int(logits.argmax())
        return at, probability(float(logits[at]))


def probability(logit: float) -> float:
    """The logistic function, written so that it overflows for no logit."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)
