"""Genuine and impostor pairs of photos: all of them, or a random sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import PhotoError
from ostiary.training.judge.reliability import Rows, Values

MOST_LISTED = 20_000_000
"""The most pairs that are listed in full to draw without repeats; of more, random positions are
drawn, and repeats are dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class PairRows:
    """Pairs of photo rows, genuine pairs first; `first`, the earlier photo, is the template."""

    first: Rows
    second: Rows
    genuines: int

    @property
    def same(self) -> NDArray[np.bool_]:
        return np.arange(len(self.first)) < self.genuines

    def split(self, values: Values) -> tuple[Values, Values]:
        return values[: self.genuines], values[self.genuines :]


def pairs_of(
    person: Rows,
    rng: np.random.Generator | None = None,
    *,
    genuines: int | None = None,
    impostors: int | None = None,
) -> PairRows:
    """All pairs of photos; with `rng`, a random sample of at most `genuines` per person and
    `impostors` in total.

    Pairs that are not drawn take little memory: 25 000 photos have 312 million pairs. Raises
    PhotoError if there is no genuine or no impostor pair.
    """
    _, photos = np.unique(person, return_counts=True)
    groups = np.split(np.argsort(person, kind="stable"), np.cumsum(photos)[:-1])
    genuine = np.concatenate([_genuine(rows, rng, genuines) for rows in groups], axis=1)
    others = _triangle(len(person)) - sum(map(_triangle, map(int, photos)))
    if not genuine.size or not others:
        raise PhotoError(
            "one of the three parts of the people holds no pair of the same person, or of two",
            "give photos of more people, several of each",
        )
    impostor = _impostors(person, groups, _drawn(others, impostors, rng))
    in_order = genuine[:, np.lexsort(genuine[::-1])]
    first, second = np.concatenate([in_order, impostor], axis=1)
    return PairRows(first, second, genuine.shape[1])


def _triangle(photos: int) -> int:
    """The number of pairs among this many photos."""
    return photos * (photos - 1) // 2


def _drawn(total: int, most: int | None, rng: np.random.Generator | None) -> Rows:
    """Positions below `total`: all of them, or at most `most` drawn by `rng`."""
    if rng is None or most is None or total <= most:
        return np.arange(total)
    if total <= MOST_LISTED:
        return rng.choice(total, most, replace=False)
    return np.unique(rng.integers(0, total, most))


def _genuine(rows: Rows, rng: np.random.Generator | None, most: int | None) -> Rows:
    """The pairs (2, n) of one person's photos, the earlier photo first."""
    place = _drawn(_triangle(len(rows)), most, rng)
    starts = np.concatenate([[0], np.cumsum(np.arange(len(rows) - 1, 0, -1))])
    earlier = np.searchsorted(starts, place, side="right") - 1
    return np.stack([rows[earlier], rows[place - starts[earlier] + earlier + 1]])


def _impostors(person: Rows, groups: list[Rows], place: Rows) -> Rows:
    """The pairs (2, n) at positions `place` of the list of all impostor pairs, which is ordered by
    the earlier photo, then by the later one."""
    own = np.empty(len(person), np.int64)
    for rows in groups:
        own[rows] = np.arange(len(rows))[::-1]
    following = np.arange(len(person))[::-1] - own
    starts = np.concatenate([[0], np.cumsum(following)])
    earlier = np.searchsorted(starts, place, side="right") - 1
    order = np.argsort(place, kind="stable")
    borders = np.searchsorted(place[order], starts)
    later = np.empty_like(earlier)
    for row in np.unique(earlier):
        some = order[borders[row] : borders[row + 1]]
        others = np.flatnonzero(person[row + 1 :] != person[row]) + row + 1
        later[some] = others[place[some] - starts[row]]
    return np.stack([earlier, later])
