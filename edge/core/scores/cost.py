"""What a gallery's size costs the enrolled: expected refusals, and from which K on to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ostiary.edge.core.scores.calibration import Threshold
from ostiary.edge.core.scores.curves import Curves

BEARABLE_FNIR = 0.10
"""One photo in ten: above it, the next frames of a visit do not mend what tau refuses."""
LARGEST_K = 10**7


@dataclass(frozen=True, slots=True)
class Cost:
    """The expected FNIR of one photo against k templates at an FPIR, by the encoder's curves.

    The curves compare photos taken on different days, often years apart: at a door people are
    refused less. `second_photo` is the FNIR if every template were made of two photos, None if that
    was not measured; `by_card` the FNMR of a claim at `fmr`. `bearable_k` is the largest K with at
    most `BEARABLE_FNIR`, 0 if there is none.
    """

    k: int
    fpir: float
    fnir: float
    second_photo: float | None
    by_card: float
    fmr: float
    bearable_k: int

    @property
    def bearable(self) -> bool:
        return self.fnir <= BEARABLE_FNIR

    def text(self) -> str:
        """The cost in words, with the ways out if it is not bearable."""
        said = f"expected FNIR {self.fnir:.1%} for K = {self.k:,} at FPIR {self.fpir:g}"
        if self.bearable:
            return said
        second = (
            f"a second photo {self.second_photo:.1%}, " if self.second_photo is not None else ""
        )
        return (
            f"{said}: too many refusals beyond K = {self.bearable_k:,}; better: {second}"
            f"a card and 1:1 {self.by_card:.1%} at FMR {self.fmr:g}, or an encoder that recognises"
            " more"
        )


def unsupported(tau: Threshold) -> str:
    """What stands behind a tau for which too few errors were counted, and what it costs."""
    source = "a model of the tail gives" if tau.modelled else "no impostor pair reached"
    return (
        f"K = {tau.k} at {tau.wanted:g}: fewer than 30 errors counted, {source} tau"
        f" {tau.tau:.3f}; expected {tau.expected:.2g}, expected FNIR {tau.fnir:.1%}"
    )


def cost(curves: Curves, fpir: float, fmr: float, by_photos: Mapping[int, int]) -> Cost:
    """What K, the sum of `by_photos`, costs per visit at an FPIR; and a card's cost at an FMR."""
    k = max(sum(by_photos.values()), 1)

    def identify(photos: Mapping[int, int]) -> Threshold:
        return curves.identify(fpir, photos, visit=True)

    given = by_photos if sum(by_photos.values()) else {1: 1}
    second = identify({2: k}).fnir if 2 in (curves.visit or curves.single) else None
    shares = {photos: number / k for photos, number in given.items()}

    def fnir(size: int) -> float:
        return identify({n: max(round(share * size), 1) for n, share in shares.items()}).fnir

    card = curves.claim(fmr, given, visit=True)
    return Cost(k, fpir, identify(given).fnir, second, card.fnir, fmr, _largest(fnir))


def _largest(fnir: Callable[[int], float]) -> int:
    """The largest K, to two digits, whose FNIR is bearable: FNIR never falls as K grows."""
    low, high = 0, 1
    while high < LARGEST_K and fnir(high) <= BEARABLE_FNIR:
        low, high = high, high * 2
    while high - low > max(low // 100, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if fnir(middle) <= BEARABLE_FNIR else (low, middle)
    return low
