"""What an encoder achieves on a folder of people: all pairs, and open-set draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.core.calibration import DetCurve, count_scores, threshold
from edge.core.metrics import Pairs, Rate, tar_interval, tau_at_fmr
from edge.core.types import Floats
from edge.errors import PhotoError
from edge.runtime.bundle import DetFile
from export.people import People

GRID = np.round(np.arange(-0.2, 1.0001, 0.002), 3)
TAIL_FMR = 0.02
FMRS = (1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, slots=True)
class TarRow:
    """TAR at an FMR with its interval over people, and the tau that gives it."""

    fmr: float
    tau: float
    tar: Rate


@dataclass(frozen=True, slots=True)
class OpenSetRow:
    """Measured rates of identification with `k` enrolled people, means over the draws.

    `fixed_fpir` is what a threshold for a 1:1 FMR of 1e-3 would have let in.
    """

    k: int
    tau: float
    fpir: Rate
    fnir: Rate
    fixed_fpir: float


def all_pairs(embeddings: Floats, person: NDArray[np.int64]) -> tuple[Floats, Floats, Pairs]:
    """(genuine, impostor) scores of every pair of images, and both with the people they are of.

    Raises PhotoError where there is no pair of one of the kinds: nothing to measure.
    """
    first, second = np.triu_indices(len(person), 1)
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), 1 << 18):
        rows = slice(start, start + (1 << 18))
        scores[rows] = np.einsum("ij,ij->i", embeddings[first[rows]], embeddings[second[rows]])
    same = person[first] == person[second]
    genuine, impostor = scores[same], scores[~same]
    if not len(genuine) or not len(impostor):
        raise PhotoError("no pair of the same person, or none of two people", "give more photos")
    kept = max(int(TAIL_FMR * len(impostor)), 1)
    order = np.argsort(-impostor)[:kept]
    people = np.stack([person[first[~same]][order], person[second[~same]][order]], axis=1)
    pairs = Pairs(
        genuine, person[first[same]], impostor[order], people, len(impostor), np.bincount(person)
    )
    return genuine, impostor, pairs


def det_file(encoder_id: str, data_set: str, people: People) -> tuple[DetFile, list[TarRow]]:
    """The DET curve of all pairs as a bundle holds it, and TAR at the usual FMRs."""
    genuine, impostor, pairs = all_pairs(people.embeddings, people.person)
    below, above = count_scores(genuine, impostor, GRID)
    curve = DetFile(
        encoder_id=encoder_id,
        data_set=data_set,
        people=len(np.unique(people.person)),
        images=people.images,
        impostors=len(impostor),
        genuines=len(genuine),
        scores=GRID.tolist(),
        impostor_at_or_above=above.tolist(),
        genuine_below=below.tolist(),
    )
    reachable = [fmr for fmr in FMRS if fmr * len(impostor) >= 1]
    return curve, [TarRow(f, tau_at_fmr(pairs, f), tar_interval(pairs, f)) for f in reachable]


def open_set(
    people: People, sizes: list[int], fpir: float, draws: int = 20, seed: int = 0
) -> list[OpenSetRow]:
    """Identification of people and strangers who had no part in the curve that sets tau.

    The curve is of a random half of the people. Of the other half, k are enrolled by one random
    photo each; every other photo of theirs is a genuine search, every photo of anybody else in
    that half a stranger's. Sizes that the half can not fill are left out.
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
    genuine, impostor, _ = all_pairs(people.embeddings[kept], people.person[kept])
    below, above = count_scores(genuine, impostor, GRID)
    return DetCurve(GRID, above, below, len(impostor), len(genuine), "half of the people")


def _draw(
    people: People,
    held: NDArray[np.int64],
    k: int,
    taus: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """(FPIR, FNIR, FPIR at the fixed threshold) of one random enrollment."""
    enrolled = rng.choice(held, k, replace=False)
    photos = np.array([rng.choice(np.flatnonzero(people.person == p)) for p in enrolled])
    others = np.flatnonzero(np.isin(people.person, held))
    others = np.setdiff1d(others, photos)
    scores = people.embeddings[others] @ people.embeddings[photos].T
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
    """The mean over draws, with the 95 % range of the draws themselves."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Rate(float(values.mean()), float(low), float(high))
