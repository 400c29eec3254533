"""Bootstrap over people: equal error rates of random draws, for the interval of an EER."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError

DRAWS = 200
MOST_IMPOSTORS = 1 << 18
"""The most impostor pairs used: a sample is enough, since the choice of people varies more."""
LEAST_PEOPLE = 10
"""The fewest people for an interval: draws from fewer people are too much alike."""
Rows = NDArray[np.int64]


def eer_draws(
    embeddings: Floats, person: Rows, draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """EERs (draws,) of people drawn with replacement; `person` (n,) is the person of each
    embedding.

    People and not pairs are drawn, since the pairs of one person are not independent (Bolle, Ratha,
    Pankanti 2004). The same seed draws the same people for every encoder of the same photos, so
    that two encoders' draws may be subtracted. Raises PhotoError if there is no genuine or no
    impostor pair.
    """
    _, owner, images = np.unique(person, return_inverse=True, return_counts=True)
    if len(images) < 2 or images.max() < 2:
        raise PhotoError("no pair of the same person, or none of two people", "give more photos")
    rng = np.random.default_rng(seed)
    weights = [_people(images, rng) for _ in range(draws)]
    a, b = _genuine(owner)
    c, d = _impostor(owner, rng)
    scores = np.concatenate([_scores(embeddings, a, b), _scores(embeddings, c, d)])
    taus, place = np.unique(scores, return_inverse=True)
    genuine, impostor = place[: len(a)], place[len(a) :]
    return np.array(
        [
            _eer(
                np.bincount(genuine, weight[owner[a]], len(taus)),
                np.bincount(impostor, weight[owner[c]] * weight[owner[d]], len(taus)),
            )
            for weight in weights
        ]
    )


def _people(images: Rows, rng: np.random.Generator) -> Rows:
    """How often each person is drawn; a draw without a genuine or an impostor pair is repeated."""
    while True:
        weight = np.bincount(rng.integers(0, len(images), len(images)), minlength=len(images))
        if (weight > 0).sum() > 1 and images[weight > 0].max() > 1:
            return weight


def _eer(genuine: NDArray[np.number], impostor: NDArray[np.number]) -> float:
    """Half the sum of FNMR and FMR where they are closest, from the weight of pairs by score."""
    fnmr = (np.cumsum(genuine) - genuine) / genuine.sum()
    fmr = 1 - (np.cumsum(impostor) - impostor) / impostor.sum()
    at = int(np.argmin(np.abs(fnmr - fmr)))
    return float(fnmr[at] + fmr[at]) / 2


def _genuine(owner: Rows) -> tuple[Rows, Rows]:
    first, second = [], []
    for one in range(int(owner.max()) + 1):
        rows = np.flatnonzero(owner == one)
        a, b = np.triu_indices(len(rows), 1)
        first.append(rows[a])
        second.append(rows[b])
    return np.concatenate(first), np.concatenate(second)


def _impostor(owner: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    n = len(owner)
    if n * (n - 1) // 2 <= MOST_IMPOSTORS:
        a, b = np.triu_indices(n, 1)
    else:
        a, b = rng.integers(0, n, (2, MOST_IMPOSTORS))
    other = owner[a] != owner[b]
    return a[other], b[other]


def _scores(embeddings: Floats, a: Rows, b: Rows) -> Floats:
    made = np.empty(len(a), np.float32)
    for start in range(0, len(a), 1 << 16):
        rows = slice(start, start + (1 << 16))
        made[rows] = np.einsum("ij,ij->i", embeddings[a[rows]], embeddings[b[rows]])
    return made
