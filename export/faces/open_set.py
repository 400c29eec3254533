"""Open-set identification: error rates for enrolled people and strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.det import DetFile
from ostiary.export.faces.pairs import GRID, all_pairs, counts, tar_rows
from ostiary.export.records.results import OpenSetRow, TarRow


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The embeddings of images, once as templates and once as probes, each (n, dim), and `person`
    (n,).

    Templates and probes are the same array if both are float.
    """

    templates: Floats
    probes: Floats
    person: NDArray[np.int64]


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


def open_set(
    people: People, sizes: list[int], fpir: float, draws: int = 20, seed: int = 0
) -> list[OpenSetRow]:
    """FPIR and FNIR with k enrolled people, for each k in `sizes`: means over `draws` enrollments.

    The curve of a random half of the people sets tau for `fpir`. Of the other half, k people are
    enrolled by one random photo each; their other photos are genuine searches, and all photos of
    the remaining people are strangers'. A size larger than this half is left out.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.unique(people.person))
    fitted, held = np.array_split(shuffled, 2)
    curve = _curve(people, fitted)
    fixed = threshold(curve, 1e-3, 1).tau
    rows = []
    for k in sizes:
        if k >= len(held):
            continue
        tau = threshold(curve, fpir, k).tau
        found = np.array([_draw(people, held, k, (tau, fixed), rng) for _ in range(draws)])
        means = [_mean(found[:, i]) for i in range(3)]
        rows.append(OpenSetRow(k, tau, means[0], means[1], means[2].value))
    return rows


def _curve(people: People, chosen: NDArray[np.int64]) -> DetCurve:
    kept = np.isin(people.person, chosen)
    templates = people.templates[kept]
    probes = templates if people.probes is people.templates else people.probes[kept]
    genuine, impostor, _ = all_pairs(templates, probes, people.person[kept])
    found = counts(genuine, impostor)
    above, below = np.array(found.impostor_at_or_above), np.array(found.genuine_below)
    return DetCurve(GRID, above, below, len(impostor), len(genuine), "half of the people")


def _draw(
    people: People,
    held: NDArray[np.int64],
    k: int,
    taus: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """(FPIR, FNIR, FPIR at the fixed tau) of one random enrollment of k `held` people."""
    enrolled = rng.choice(held, k, replace=False)
    photos = np.array([rng.choice(np.flatnonzero(people.person == p)) for p in enrolled])
    others = np.flatnonzero(np.isin(people.person, held))
    others = np.setdiff1d(others, photos)
    scores = people.probes[others] @ people.templates[photos].T
    best, nearest = scores.max(1), enrolled[scores.argmax(1)]
    stranger = ~np.isin(people.person[others], enrolled)
    right = nearest[~stranger] == people.person[others][~stranger]
    missed = ~((best[~stranger] >= taus[0]) & right)
    return (
        float((best[stranger] >= taus[0]).mean()),
        float(missed.mean()),
        float((best[stranger] >= taus[1]).mean()),
    )


def _mean(values: NDArray[np.float64]) -> Rate:
    """The mean over draws, with the range that holds 95 % of the draws."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Rate(float(values.mean()), float(low), float(high))
