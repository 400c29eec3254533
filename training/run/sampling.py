"""Batches of photos: P people with K images each for losses of pairs, or all photos in turn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import ConfigError, PhotoError

Rows = NDArray[np.int64]


class PeopleBatches:
    """An epoch's batches of P people x K images (Hermans et al. 2017), ordered by person.

    They are a pure function of (seed, epoch), so a resumed run draws the same batches.
    """

    def __init__(self, person: Rows, people: int, images: int, seed: int) -> None:
        """`person` (n,) is the person of each row; P and K are at least 2, `seed` at least 0.

        If there are fewer than P people, a batch holds all of them. Raises ConfigError if P or K is
        too small, PhotoError if there is only one person or nobody has two images.
        """
        if people < 2 or images < 2:
            raise ConfigError(
                f"batches of {people} people x {images} images hold no triplet",
                "use at least 2 people with 2 images each",
            )
        _, whose, count = np.unique(person, return_inverse=True, return_counts=True)
        if len(count) < 2:
            raise PhotoError(
                f"faces of {len(count)} people: two are needed", "give photos of more people"
            )
        if count.max() < 2:
            raise PhotoError(
                f"{len(count)} people with one image each: training needs two of a person",
                "give at least two images of a person",
            )
        self.people, self.images, self.seed = min(people, len(count)), images, seed
        self._rows = np.split(np.argsort(whose, kind="stable"), np.cumsum(count)[:-1])

    def __len__(self) -> int:
        """The number of batches in an epoch; all batches hold about as many images as there are."""
        return math.ceil(sum(map(len, self._rows)) / (self.people * self.images))

    def epoch(self, number: int) -> list[Rows]:
        """The rows (P*K,) of each batch, a person's K images side by side.

        A batch draws each person at most once. Over an epoch, the numbers of draws of two people
        differ by at most one.
        """
        # The spawn key gives a separate stream: numpy pads short seeds with zeros, so that [seed,
        # epoch] alone would be the stream of [seed, epoch, 0].
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, number], spawn_key=(1,)))
        drawn = np.zeros(len(self._rows), np.int64)
        return [self._batch(drawn, rng) for _ in range(len(self))]

    def _batch(self, drawn: Rows, rng: np.random.Generator) -> Rows:
        """A batch of the P people drawn least often so far, ties broken at random; counts the
        draws."""
        chosen = np.lexsort((rng.random(len(drawn)), drawn))[: self.people]
        drawn[chosen] += 1
        return np.concatenate([self._images(self._rows[who], rng) for who in chosen])

    def _images(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """K images of a person; if there are fewer, images are repeated."""
        return np.resize(rng.permutation(rows), self.images)


def batches(photos: int, size: int, seed: int, epoch: int) -> list[Rows]:
    """Every photo once, in an order drawn for the epoch; the last batch may be smaller."""
    # The spawn key keeps these random numbers apart from those of the steps.
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch], spawn_key=(1,)))
    return np.array_split(rng.permutation(photos), range(size, photos, size))
