"""What spoilt photos cost: rates by kind and grade, and by what the door measures of a face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.light.looks import SeenPerson, SpoiltLook
from ostiary.export.light.spoilt import AS_IT_IS, FURTHER, KINDS

FMR, FPIR, K = 1e-3, 0.01, 100
"""The rates that tau is for, of a claim and of an identification among K people: the defaults of a
profile."""
DARKEST = 0.1
EVERYBODY, DARK, OTHERS = "everybody", "darkest tenth", "the others"
INFINITY = float("inf")
_AS_THEY_ARE = (AS_IT_IS.name, FURTHER)
_LIGHT = (*_AS_THEY_ARE, "dark", "night, gain up", "bright", "back light", "side light")
BINS: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "eye_distance_px": ((0, 7, 8, 10, 12, 16, 24, INFINITY), (*_AS_THEY_ARE, "small")),
    "turn": ((0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, INFINITY), _AS_THEY_ARE),
    "tilt_deg": ((0, 10, 20, 30, 40, INFINITY), _AS_THEY_ARE),
    "sharpness": (
        (0, 15, 25, 35, 50, 75, 125, 250, INFINITY),
        (*_AS_THEY_ARE, "blur", "motion", "small"),
    ),
    "brightness": ((0, 15, 30, 60, 90, 150, 180, 200, 215, 225, 235, 245, INFINITY), _LIGHT),
    "contrast": ((0, 12, 18, 24, 30, 40, INFINITY), (*_LIGHT, "haze", "flat")),
    "noise": ((0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, INFINITY), _LIGHT),
}
"""The bins of each measure, and the kinds of photos that are sorted into them."""


class SpoiltRow(msgspec.Struct, frozen=True):
    """Photos of one kind and grade, or in one bin of a measure (`grade` to `until`), of a group.

    Of `photos` of `people` the share `found` shows a face to the models, with the median `score`
    to the template; of the faces found, `fnmr` and `fnir` fall short of the taus of a claim and of
    an identification, `fmr` is the share of others' templates that match, and `refused` the share
    that the default limits refuse. `kept_out` of all photos are not found, refused or fall short
    of the tau of an identification. Intervals are over people.
    """

    what: str
    grade: float
    until: float | None
    unit: str
    group: str
    people: int
    photos: int
    found: float
    score: float
    fnmr: Rate
    fnir: Rate
    fmr: Rate
    refused: float
    kept_out: Rate


class QualityTable(msgspec.Struct, frozen=True):
    """The rows `by_kind` and `by_measure`, and the taus that they are for. `darkest` is the number
    of people in the darkest tenth, and `tone_deg` the angle below which their skin lies."""

    people: int
    darkest: int
    tone_deg: float
    tau_claim: float
    tau_identify: float
    k: int
    by_kind: list[SpoiltRow]
    by_measure: list[SpoiltRow]


@dataclass(frozen=True, slots=True, eq=False)
class _Taus:
    claim: float
    identify: float


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One look of a person: the score to the own template and the number of others' that match."""

    person: int
    look: SpoiltLook
    score: float = float("nan")
    matches: int = 0


def table(bundle: Bundle, people: Sequence[SeenPerson]) -> QualityTable:
    """All rows. Raises BundleError if the bundle has no curves."""
    curves = bundle.det().curves_for(bundle.comparison, worst=True)
    taus = _Taus(
        curves.claim(FMR, {1: 1}, visit=False).tau, curves.identify(FPIR, {1: K}, visit=False).tau
    )
    tones = np.array([person.tone for person in people])
    dark = np.zeros(len(people), bool)
    dark[np.argsort(tones)[: max(round(DARKEST * len(people)), 1)]] = True
    judged = list(_judged(people, taus))
    rows = _Rows(len(people), taus)
    return QualityTable(
        len(people),
        int(dark.sum()),
        float(tones[dark].max()),
        taus.claim,
        taus.identify,
        K,
        list(_by_kind(rows, judged, dark)),
        list(_by_measure(rows, judged)),
    )


def _judged(people: Sequence[SeenPerson], taus: _Taus) -> Iterator[_Judged]:
    templates = np.stack([person.template for person in people])
    for number, person in enumerate(people):
        for look in person.looks:
            if look.probe is None:
                yield _Judged(number, look)
                continue
            scores: Floats = templates @ look.probe
            matches = int((np.delete(scores, number) >= taus.claim).sum())
            yield _Judged(number, look, float(scores[number]), matches)


def _by_kind(
    rows: _Rows, judged: Sequence[_Judged], dark: NDArray[np.bool_]
) -> Iterator[SpoiltRow]:
    groups: dict[str, Callable[[int], bool]] = {
        EVERYBODY: lambda person: True,
        DARK: lambda person: bool(dark[person]),
        OTHERS: lambda person: not dark[person],
    }
    for kind in KINDS:
        for grade in kind.grades:
            shown = [j for j in judged if (j.look.kind, j.look.grade) == (kind.name, grade)]
            for group, has in groups.items():
                kept = [one for one in shown if has(one.person)]
                if kept:
                    yield rows.row(kept, kind.name, grade, None, kind.unit, group)


def _by_measure(rows: _Rows, judged: Sequence[_Judged]) -> Iterator[SpoiltRow]:
    for measure, (edges, kinds) in BINS.items():
        shown = [j for j in judged if j.look.measured is not None and j.look.kind in kinds]
        values = np.array([getattr(j.look.measured, measure) for j in shown])
        for low, high in pairwise(edges):
            inside = np.flatnonzero((values >= low) & (values < high))
            if len(inside):
                kept = [shown[at] for at in inside]
                yield rows.row(kept, measure, low, high, "", EVERYBODY)


@dataclass(frozen=True, slots=True)
class _Rows:
    people: int
    taus: _Taus

    def row(
        self,
        shown: Sequence[_Judged],
        what: str,
        grade: float,
        until: float | None,
        unit: str,
        group: str,
    ) -> SpoiltRow:
        found = [one for one in shown if one.look.probe is not None]
        scores = [one.score for one in found]
        identify = self.taus.identify

        def rate(of: Sequence[_Judged], error: Callable[[_Judged], float], each: int = 1) -> Rate:
            errors, trials = np.zeros(self.people), np.zeros(self.people)
            for one in of:
                errors[one.person] += error(one)
                trials[one.person] += each
            return rate_over(errors, trials) if of else Rate(*[float("nan")] * 3)

        return SpoiltRow(
            what,
            grade,
            until,
            unit,
            group,
            len({one.person for one in shown}),
            len(shown),
            len(found) / len(shown),
            float(np.median(scores)) if scores else float("nan"),
            rate(found, lambda one: not one.score >= self.taus.claim),
            rate(found, lambda one: not one.score >= identify),
            rate(found, lambda one: one.matches, self.people - 1),
            sum(bool(one.look.failed) for one in found) / max(len(found), 1),
            rate(shown, lambda one: bool(one.look.failed) or not one.score >= identify),
        )
