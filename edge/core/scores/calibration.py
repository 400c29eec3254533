"""The encoder's measured DET curve, and the tau for an error rate and a gallery's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULE_OF_30 = 30
"""Errors that must be counted before a rate is trusted: it is then within 30 % of the true rate
with 90 % confidence (Doddington et al., The NIST speaker recognition evaluation, 2000)."""


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The highest impostor scores by a model, for false match rates too low to count.

    Over falling rates `fmr` (n,), `tau` (n,) rises: the score that a share `fmr` of impostor pairs
    reaches by the fitted model. `safe` (n,) is one standard error above it, over people.
    """

    fmr: NDArray[np.float64]
    tau: NDArray[np.float64]
    safe: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DetCurve:
    """Measured comparisons of one encoder, counted over a rising grid of scores.

    With the threshold `scores[i]`, `impostor_at_or_above[i]` of `impostors` pairs match falsely,
    and `genuine_below[i]` of `genuines` pairs falsely do not match. `tail` continues the false
    match rate beyond the counted pairs.
    """

    scores: NDArray[np.float64]
    impostor_at_or_above: NDArray[np.int64]
    genuine_below: NDArray[np.int64]
    impostors: int
    genuines: int
    data_set: str
    tail: Tail | None = None

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

    def rates(self, safe: bool = True) -> NDArray[np.float64]:
        """The false match rate at each point of the grid, never rising.

        It is counted where at least thirty errors were counted, and modelled beyond if there is a
        `tail`: with `safe` one standard error above the model, since a door should rather refuse.
        """
        counted = self.impostor_at_or_above / self.impostors
        if self.tail is None:
            return counted
        taus = self.tail.safe if safe else self.tail.tau
        modelled = np.exp(np.interp(self.scores, taus, np.log(self.tail.fmr)))
        beyond = self.impostor_at_or_above < RULE_OF_30
        last = float(counted[~beyond][-1]) if not beyond.all() else 1.0
        return np.where(beyond, np.minimum(modelled, last), counted)


@dataclass(frozen=True, slots=True)
class Threshold:
    """tau, with the error rate and K it is for.

    `wanted` is the requested rate, `expected` the rate at this tau by the curve. `supported` is
    False if fewer than thirty errors were counted for this rate. tau then comes from the curve's
    modelled tail (`modelled`), or if there is none rises with K at most to just above every
    measured impostor score, and the real rate is unknown. `fnir` is the share of genuine probes
    that this tau refuses, by the curve: the price that the enrolled pay.
    """

    tau: float
    k: int
    wanted: float
    expected: float
    supported: bool
    modelled: bool = False
    fnir: float = 0.0


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
    return threshold_over([(curve, k)], fpir)


def threshold_over(parts: Sequence[tuple[DetCurve, int]], fpir: float) -> Threshold:
    """tau for an FPIR against templates of several kinds: each kind's curve and its number.

    FPIR = 1 - prod (1 - FMR_i)^K_i, as in `fmr_for`. All curves count over the same grid.
    """
    kinds = [(curve, max(number, 1 if len(parts) == 1 else 0)) for curve, number in parts]
    k = sum(number for _, number in kinds)
    scores = kinds[0][0].scores
    allowed = _exponent(kinds, safe=True) <= -math.log1p(-fpir)
    at = int(np.argmax(allowed)) if allowed.any() else len(scores) - 1
    tau = float(scores[at])
    supported = bool(allowed.any()) and all(
        fmr_for(fpir, k) >= curve.least_fmr for curve, number in kinds if number
    )
    modelled = not supported and all(curve.tail is not None for curve, _ in kinds)
    expected = -math.expm1(-float(_exponent(kinds, safe=False)[at]))
    if not supported and not modelled:
        # Fewer than thirty errors give no reliable rate: add the bound of the rule of three.
        refused = (
            (1.0 - min(1.0, curve.fmr(tau) + 3 / curve.impostors)) ** number
            for curve, number in kinds
        )
        expected = 1.0 - math.prod(refused)
    fnir = sum(number * curve.fnmr(tau) for curve, number in kinds) / k
    said = sum(number for _, number in parts)
    return Threshold(tau, said, fpir, expected, supported, modelled, fnir)


def _exponent(kinds: Sequence[tuple[DetCurve, int]], safe: bool) -> NDArray[np.float64]:
    """-log(1 - FPIR) at each point of the grid."""
    with np.errstate(divide="ignore"):
        each = [-number * np.log1p(-curve.rates(safe)) for curve, number in kinds if number]
    return np.asarray(np.sum(each, axis=0))
