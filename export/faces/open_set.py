"""Open-set identification: error rates for enrolled people and strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.metrics import Rate, interval
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.det import DetFile
from ostiary.export.faces import kinds
from ostiary.export.faces.groups import Groups
from ostiary.export.faces.kinds import SINGLE, Kind, People
from ostiary.export.faces.pairs import GRID, all_pairs, counts, tar_rows
from ostiary.export.records.results import OpenSetRow, TarRow

TAIL_DRAWS = 60
"""Bootstrap draws for a tail, fewer than for a stored curve: each draw of people fits its own."""


@dataclass(frozen=True, slots=True)
class Search:
    """An open-set test: `sizes` of galleries, the FPIR asked, and `draws` random enrollments.

    `tau_of` and `gallery_of` name the group whose curve sets tau, and the group of which enrolled
    people and strangers are; empty for everybody. With `resplit` each draw splits the people anew,
    so that the interval over the draws shows the uncertainty of tau and of the people too.
    """

    sizes: tuple[int, ...] = (100, 300)
    fpir: float = 0.01
    draws: int = 20
    seed: int = 0
    kind: Kind = SINGLE
    tau_of: str = ""
    gallery_of: str = ""
    resplit: bool = False


def det_file(
    encoder_id: str, data_set: str, embeddings: Floats, person: NDArray[np.int64]
) -> tuple[DetFile, list[TarRow]]:
    """The DET curve of a float encoder as a bundle stores it, and TAR at the usual FMRs."""
    genuine, impostor, pairs = all_pairs(embeddings, embeddings, person)
    curve = DetFile(
        encoder_id=encoder_id,
        data_set=data_set,
        people=len(np.unique(person)),
        images=len(person),
        scores=GRID.tolist(),
        float_float=counts(genuine, impostor),
    )
    return curve, tar_rows(pairs)


def open_set(people: People, search: Search, groups: Groups | None = None) -> list[OpenSetRow]:
    """FPIR and FNIR with k enrolled people, for each k of the search that the people suffice for.

    The curve of a random half of the people sets tau. Of the other half, k people are enrolled in
    each draw, each by a template of the search's kind; their other photos are genuine searches, and
    the photos of the remaining people are strangers'. Raises PhotoError if a group is too small for
    a curve.
    """
    rng = np.random.default_rng(search.seed)
    drawn: dict[int, list[_Drawn]] = {k: [] for k in search.sizes}
    for number in range(search.draws):
        if number == 0 or search.resplit:
            fitted, held = np.array_split(rng.permutation(np.unique(people.person)), 2)
            curve = _curve(people, fitted, search, groups)
            inside = _inside(people, held, search.gallery_of, groups)
        for k in search.sizes:
            tau = threshold(curve, search.fpir, k).tau
            one = draw(people, inside, k, (tau, threshold(curve, 1e-3, 1).tau), search.kind, rng)
            if one is not None:
                drawn[k].append(one)
    return [_row(k, found, search) for k, found in drawn.items() if found]


def with_curve(
    people: People, search: Search, curve: DetCurve, groups: Groups | None = None
) -> list[OpenSetRow]:
    """As `open_set`, with tau from a curve that was measured on other people."""
    rng = np.random.default_rng(search.seed)
    inside = _inside(people, np.unique(people.person), search.gallery_of, groups)
    rows = []
    for k in search.sizes:
        taus = threshold(curve, search.fpir, k).tau, threshold(curve, 1e-3, 1).tau
        made = [draw(people, inside, k, taus, search.kind, rng) for _ in range(search.draws)]
        found = [one for one in made if one is not None]
        if found:
            rows.append(_row(k, found, search))
    return rows


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The rates of one random enrollment, and the tau it used."""

    tau: float
    fpir: float
    fnir: float
    fixed_fpir: float


def _curve(
    people: People, chosen: NDArray[np.int64], search: Search, groups: Groups | None
) -> DetCurve:
    """The curve of the chosen people, of the group that sets tau if one does."""
    inside = np.isin(people.person, _inside(people, chosen, search.tau_of, groups))
    kept = people.only(inside)
    scored = kinds.score(kept, search.kind)
    found = scored.curve("half of the people", TAIL_DRAWS)
    if found is not None:
        return found
    if search.tau_of or not len(scored.genuine) or not len(scored.impostor):
        raise PhotoError(
            f"too few pairs of {search.tau_of or 'these people'} for a threshold",
            "give more people, with two photos or more of each",
        )
    counted = counts(scored.genuine, scored.impostor)
    above, below = np.array(counted.impostor_at_or_above), np.array(counted.genuine_below)
    return DetCurve(GRID, above, below, counted.impostors, counted.genuines, "half of the people")


def _inside(
    people: People, chosen: NDArray[np.int64], group: str, groups: Groups | None
) -> NDArray[np.int64]:
    """The chosen people, of a group only if it is named: those all of whose photos are in it."""
    if not group or groups is None:
        return chosen
    outside = np.unique(people.person[groups.of != group])
    return chosen[~np.isin(chosen, outside)]


def draw(
    people: People,
    held: NDArray[np.int64],
    k: int,
    taus: tuple[float, float],
    kind: Kind,
    rng: np.random.Generator,
) -> _Drawn | None:
    """The rates of one random enrollment of k `held` people; None if there are too few of them."""
    rows = np.flatnonzero(np.isin(people.person, held))
    taken = rows[kinds.sets(people.person[rows], kind.photos, int(rng.integers(1 << 30)))]
    owner_of = people.person[taken[:, 0]]
    enrolled = rng.permutation(np.unique(owner_of))[:k]
    if len(enrolled) < k or k >= len(held):
        return None
    first = {int(person): at for at, person in reversed(list(enumerate(owner_of)))}
    templates = taken[[first[int(person)] for person in enrolled]]
    others = np.setdiff1d(rows, templates.ravel())
    asked = [others[rows] for rows in _asked(people.person[others], enrolled, kind, rng)]
    made = kinds.fuse_sets(people.templates, templates)
    scores = np.array([kinds.visit_scores(made, people.probes[rows]) for rows in asked])
    best, nearest = scores.max(1), enrolled[scores.argmax(1)]
    asking = np.array([people.person[rows[0]] for rows in asked])
    stranger = ~np.isin(asking, enrolled)
    if stranger.all() or not stranger.any():
        return None
    missed = (best < taus[0]) | (nearest != asking)
    return _Drawn(
        taus[0],
        float((best[stranger] >= taus[0]).mean()),
        float(missed[~stranger].mean()),
        float((best[stranger] >= taus[1]).mean()),
    )


def _asked(
    person: NDArray[np.int64], enrolled: NDArray[np.int64], kind: Kind, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The rows that ask together: each photo alone, or the visits of strangers and enrolled."""
    if not kind.visit:
        return list(np.arange(len(person))[:, None])
    came = kinds.visits(person, 1, int(rng.integers(1 << 30)))
    known = np.isin([person[rows[0]] for rows in came], enrolled)
    return [
        rows for rows, own in zip(came, known, strict=True) if own or len(rows) >= kinds.LEAST_LOOKS
    ]


def _row(k: int, drawn: list[_Drawn], search: Search) -> OpenSetRow:
    return OpenSetRow(
        k=k,
        tau=float(np.mean([one.tau for one in drawn])),
        fpir=_mean([one.fpir for one in drawn]),
        fnir=_mean([one.fnir for one in drawn]),
        fixed_fpir=float(np.mean([one.fixed_fpir for one in drawn])),
        wanted=search.fpir,
        photos=search.kind.photos,
        visit=search.kind.visit,
        tau_of=search.tau_of,
        gallery_of=search.gallery_of,
    )


def _mean(values: list[float]) -> Rate:
    """The mean over draws, with the range that holds 95 % of the draws."""
    return interval(float(np.mean(values)), np.array(values))
