"""The scores of all image pairs, and the TAR rows and DET counts made from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import count_scores
from ostiary.edge.core.scores.metrics import Pairs, tar_interval, tau_at_fmr
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.det import Counts
from ostiary.export.records.results import TarRow

GRID = np.round(np.arange(-0.2, 1.0001, 0.002), 3)
TAIL_FMR = 0.02
FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
LEAST_IMPOSTORS = 10
"""The fewest impostor pairs at or above a threshold for which a TAR is reported."""


def all_pairs(
    templates: Floats, probes: Floats, person: NDArray[np.int64], tail: float = TAIL_FMR
) -> tuple[Floats, Floats, Pairs]:
    """(genuine scores, impostor scores, both with the people) of every two images.

    `Pairs` keeps a share `tail` of the impostor scores.

    If probes differ from templates, the earlier image of a pair is the template. The swapped pair
    is not counted: with nearly the same score, it would look like twice the evidence. Raises
    PhotoError if there is no genuine or no impostor pair.
    """
    first, second = np.triu_indices(len(person), 1)
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), 1 << 18):
        rows = slice(start, start + (1 << 18))
        scores[rows] = np.einsum("ij,ij->i", templates[first[rows]], probes[second[rows]])
    same = person[first] == person[second]
    genuine, impostor = scores[same], scores[~same]
    if not len(genuine) or not len(impostor):
        raise PhotoError(
            "the photos hold no pair of the same person, or no pair of different people",
            "give two or more people with two or more photos each",
        )
    kept = max(int(tail * len(impostor)), 1)
    order = np.argsort(-impostor)[:kept]
    people = np.stack([person[first[~same]][order], person[second[~same]][order]], axis=1)
    pairs = Pairs(
        genuine, person[first[same]], impostor[order], people, len(impostor), np.bincount(person)
    )
    return genuine, impostor, pairs


def counts(genuine: Floats, impostor: Floats) -> Counts:
    """The DET counts of genuine and impostor scores over GRID."""
    below, above = count_scores(genuine, impostor, GRID)
    return Counts(len(impostor), len(genuine), above.tolist(), below.tolist())


def tar_rows(pairs: Pairs) -> list[TarRow]:
    """The TAR at each usual FMR for which there are enough impostor pairs."""
    reachable = [fmr for fmr in FMRS if fmr * pairs.impostors >= LEAST_IMPOSTORS]
    return [TarRow(f, tau_at_fmr(pairs, f), tar_interval(pairs, f)) for f in reachable]
