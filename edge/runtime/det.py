"""`det_curve.json`: how often an encoder errs at each score, counted on real pairs of faces."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.errors import BundleError

DET_CURVE = "det_curve.json"
MIN_IMPOSTORS = 30_000
"""Impostor pairs for thirty errors at an FMR of 1e-3 (the rule of 30), from some 250 people."""
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Comparison = Literal["float_float", "int8_int8", "float_int8"]
"""The precisions of a comparison: first the template's, then the probe's."""
COMPARISONS: tuple[Comparison, ...] = ("float_float", "int8_int8", "float_int8")


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pairs of one comparison, counted at each score of the file's grid."""

    impostors: Annotated[int, msgspec.Meta(ge=1)]
    genuines: Annotated[int, msgspec.Meta(ge=1)]
    impostor_at_or_above: list[int]
    genuine_below: list[int]


class DetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts over a rising grid of scores, and what they were measured on."""

    encoder_id: Sha256
    data_set: str
    people: int
    images: int
    scores: list[float]
    float_float: Counts
    int8_sha256: Sha256 | None = None
    """The int8 encoder that the other two comparisons were measured with."""
    int8_int8: Counts | None = None
    float_int8: Counts | None = None

    def curve(self, comparison: Comparison = "float_float") -> DetCurve:
        """The counts as arrays. Raises BundleError if they do not describe a curve."""
        counts: Counts | None = getattr(self, comparison)
        if counts is None:
            raise BundleError(
                f"{DET_CURVE} has no {comparison} comparison, so no threshold can be derived",
                "ostiary-export verify measures it",
            )
        return curve_of(DET_CURVE, self.scores, counts, self.data_set)

    def check(self) -> None:
        """Raise BundleError if a comparison that the file holds is not a curve."""
        for comparison in COMPARISONS:
            if getattr(self, comparison) is not None:
                self.curve(comparison)


def curve_of(file: str, grid: list[float], counts: Counts, data_set: str) -> DetCurve:
    """A file's counts over a grid as a curve. Raises BundleError if no tau can be derived from it.

    The grid holds scores, or another number that is higher for more similar faces.
    """
    if counts.impostors < MIN_IMPOSTORS:
        raise BundleError(
            f"{file} was measured on {counts.impostors} impostor pairs,"
            f" a threshold needs at least {MIN_IMPOSTORS}",
            "measure on more people",
        )
    try:
        scores = np.array(grid, np.float64)
        above = np.array(counts.impostor_at_or_above, np.int64)
        below = np.array(counts.genuine_below, np.int64)
    except OverflowError as error:
        raise BundleError(f"{file}: a count is out of range") from error
    same = len(scores) == len(above) == len(below) > 1
    if not same or not (
        (np.diff(scores) > 0).all()
        and _falls(above, counts.impostors)
        and _falls(counts.genuines - below, counts.genuines)
    ):
        raise BundleError(f"{file} is not a curve over a rising grid", "export it again")
    return DetCurve(scores, above, below, counts.impostors, counts.genuines, data_set)


def _falls(counts: NDArray[np.int64], most: int) -> bool:
    """True if the counts begin with at least half of `most`, never rise, and stay at 0 or above."""
    return bool((np.diff(counts) <= 0).all() and most >= counts[0] >= 0.5 * most) and (
        int(counts[-1]) >= 0
    )
