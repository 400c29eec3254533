"""The encoder's measured DET curve, and the tau for an error rate and a gallery's size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULE_OF_30 = 30
"""Errors that must be counted before a rate is trusted: it is then within 30 % of the true rate
with 90 % confidence (Doddington et al., The NIST speaker recognition evaluation, 2000)."""


@dataclass(frozen=True, slots=True, eq=False)
class DetCurve:
    """Measured comparisons of one encoder, counted over a rising grid of scores.

    With the threshold `scores[i]`, `impostor_at_or_above[i]` of `impostors` pairs match falsely,
    and `genuine_below[i]` of `genuines` pairs falsely do not match.
    """

    scores: NDArray[np.float64]
    impostor_at_or_above: NDArray[np.int64]
    genuine_below: NDArray[np.int64]
    impostors: int
    genuines: int
    data_set: str

    def fmr(self, tau: float) -> float:
        """The false match rate at a threshold, read at the next lower grid point: never too low."""
        return self._rate(self.impostor_at_or_above, self.impostors, tau)

    def fnmr(self, tau: float) -> float:
        """The false non-match rate at a threshold."""
        return self._rate(self.genuine_below, self.genuines, tau)

    def _rate(self, counts: NDArray[np.int64], total: int, tau: float) -> float:
        at = max(int(np.searchsorted(self.scores, tau, side="right")) - 1, 0)
        return float(counts[at]) / total

    @property
    def least_fmr(self) -> float:
        """The smallest false match rate that the number of pairs can support."""
        return RULE_OF_30 / self.impostors


@dataclass(frozen=True, slots=True)
class Threshold:
    """tau, with the error rate and K it is for.

    `wanted` is the requested rate, `expected` the rate at this tau by the curve. `supported` is
    False if fewer than thirty errors were counted for this rate: tau still rises with K, at most to
    just above every measured impostor score, but the real rate is unknown.
    """

    tau: float
    k: int
    wanted: float
    expected: float
    supported: bool


def count_scores(
    genuine: NDArray[np.floating], impostor: NDArray[np.floating], grid: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(genuine_below, impostor_at_or_above) at each point of a rising grid."""
    below = np.searchsorted(np.sort(genuine), grid, side="left")
    above = len(impostor) - np.searchsorted(np.sort(impostor), grid, side="left")
    return below.astype(np.int64), above.astype(np.int64)


def fmr_for(fpir: float, k: int) -> float:
    """The false match rate of one comparison that gives `fpir` over k independent ones.

    FPIR = 1 - (1 - FMR)^K (ISO/IEC 19795-1). The comparisons of one probe are not independent but
    tend to err together, so that the real FPIR is lower, not higher.
    """
    return -math.expm1(math.log1p(-fpir) / max(k, 1))


def threshold(curve: DetCurve, fpir: float, k: int) -> Threshold:
    """tau for a false positive identification rate against k templates; k = 1 is 1:1 (FMR)."""
    fmr = fmr_for(fpir, k)
    allowed = curve.impostor_at_or_above <= fmr * curve.impostors
    at = int(np.argmax(allowed)) if allowed.any() else len(curve.scores) - 1
    tau = float(curve.scores[at])
    supported = bool(allowed.any()) and fmr >= curve.least_fmr
    # Fewer than thirty errors give no reliable rate: add the bound of the rule of three.
    met = curve.fmr(tau) if supported else min(1.0, curve.fmr(tau) + 3 / curve.impostors)
    return Threshold(tau, k, fpir, 1.0 - (1.0 - met) ** max(k, 1), supported)
