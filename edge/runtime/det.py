"""`det_curve.json`: how often an encoder errs at each score, counted on real pairs of faces."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve, Tail
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.errors import BundleError

DET_CURVE = "det_curve.json"
MIN_IMPOSTORS = 30_000
"""Impostor pairs for thirty errors at an FMR of 1e-3 (the rule of 30), from some 250 people."""
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Comparison = Literal["float_float", "int8_int8", "float_int8"]
"""The precisions of a comparison: first the template's, then the probe's."""
COMPARISONS: tuple[Comparison, ...] = ("float_float", "int8_int8", "float_int8")


class TailRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The modelled score for an FMR, and the score one standard error above it."""

    fmr: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    tau: float
    safe: float


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The pairs of one comparison, counted at each score of the file's grid.

    `tail` continues them by a model, over falling FMRs.
    """

    impostors: Annotated[int, msgspec.Meta(ge=1)]
    genuines: Annotated[int, msgspec.Meta(ge=1)]
    impostor_at_or_above: list[int]
    genuine_below: list[int]
    tail: list[TailRow] = []


class TemplateCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts for templates of `photos` photos (3: three), against single photos or whole visits
    (`visit`); within the worst group only if `worst` is set."""

    photos: Annotated[int, msgspec.Meta(ge=1, le=3)]
    visit: bool
    worst: bool
    counts: Counts


class WorstGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The group of people with the most false matches among themselves.

    `labels` says who assigned people to groups, and how; `groups` are all that were measured.
    """

    name: str
    people: int
    images: int
    labels: str
    groups: list[str]


class DetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts over a rising grid of scores, and what they were measured on.

    `curves` hold what the three comparisons do not: other templates, other probes, the worst group.
    They are measured with int8 probes if there is an int8 encoder, and serve both precisions.
    """

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
    curves: list[TemplateCurve] = []
    worst_group: WorstGroup | None = None
    labels_left_out: int = 0
    """The number of photos with wrong labels, by the exclusion list with `labels_sha256`."""
    labels_sha256: Sha256 | None = None

    def curve(self, comparison: Comparison = "float_float") -> DetCurve:
        """The counts as arrays. Raises BundleError if they do not describe a curve."""
        counts: Counts | None = getattr(self, comparison)
        if counts is None:
            raise BundleError(
                f"{DET_CURVE} has no {comparison} comparison, so no threshold can be derived",
                "ostiary-export verify measures it",
            )
        return curve_of(DET_CURVE, self.scores, counts, self.data_set)

    def curves_for(self, comparison: Comparison, worst: bool) -> Curves:
        """The curves that a door derives tau from; those of everybody if no group was measured.

        Raises BundleError if the comparison was not measured.
        """
        worst = worst and self.worst_group is not None
        kinds: dict[bool, dict[int, DetCurve]] = {False: {}, True: {}}
        for item in self.curves:
            if item.worst == worst:
                kinds[item.visit][item.photos] = curve_of(
                    DET_CURVE, self.scores, item.counts, self.data_set
                )
        if not worst:
            kinds[False][1] = self.curve(comparison)
        group = self.worst_group.name if worst and self.worst_group is not None else ""
        return Curves(kinds[False], kinds[True], group)

    def check(self) -> None:
        """Raise BundleError if the file does not hold curves that a door can use."""
        for comparison in COMPARISONS:
            if getattr(self, comparison) is not None:
                self.curve(comparison)
        for worst in (False, True):
            found = self.curves_for("float_float", worst)
            if 1 not in found.single or (found.visit and 1 not in found.visit):
                raise BundleError(
                    f"{DET_CURVE} has no curve for templates of one photo", "export it again"
                )


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
    tail = _tail(file, counts.tail)
    return DetCurve(scores, above, below, counts.impostors, counts.genuines, data_set, tail)


def _tail(file: str, rows: list[TailRow]) -> Tail | None:
    if not rows:
        return None
    fmr, tau, safe = (np.array([getattr(r, name) for r in rows]) for name in ("fmr", "tau", "safe"))
    if not ((np.diff(fmr) < 0).all() and (np.diff(tau) > 0).all() and (np.diff(safe) > 0).all()):
        raise BundleError(f"{file} has a tail that does not fall with the score", "export it again")
    return Tail(fmr, tau, safe)


def _falls(counts: NDArray[np.int64], most: int) -> bool:
    """True if the counts begin with at least half of `most`, never rise, and stay at 0 or above."""
    return bool((np.diff(counts) <= 0).all() and most >= counts[0] >= 0.5 * most) and (
        int(counts[-1]) >= 0
    )
