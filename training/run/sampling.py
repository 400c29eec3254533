"""Batches of photos: P people by K images for what learns from pairs, or simply all in turn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import ConfigError, PhotoError

Rows = NDArray[np.int64]


class PeopleBatches:
    """An epoch's batches of P people x K images (Hermans et al. 2017), people after people.

    A pure function of (seed, epoch): a resumed training draws what it would have drawn.
    """

    def __init__(self, person: Rows, people: int, images: int, seed: int) -> None:
        """`person` (n,) says whose image each row is; P and K are at least 2, `seed` at least 0.

        Where there are fewer than P people a batch holds all of them. Raises ConfigError for a P or
        K too small, PhotoError where there are not two people or nobody has two images.
        """
        if people < 2 or images < 2:
            raise ConfigError(
                f"batches of {people} people x {images} images hold no triplet",
                "at least 2 people of 2 images",
            )
        _, whose, count = np.unique(person, return_inverse=True, return_counts=True)
        if len(count) < 2:
            raise PhotoError(
                f"faces of {len(count)} people: nobody to tell apart", "give photos of more people"
            )
        if count.max() < 2:
            raise PhotoError(
                f"{len(count)} people with one image each: no two images to bring together",
                "give at least two images of a person",
            )
        self.people, self.images, self.seed = min(people, len(count)), images, seed
        self._rows = np.split(np.argsort(whose, kind="stable"), np.cumsum(count)[:-1])

    def __len__(self) -> int:
        """Batches in an epoch: as many as show about as many images as there are."""
        return math.ceil(sum(map(len, self._rows)) / (self.people * self.images))

    def epoch(self, number: int) -> list[Rows]:
        """The rows (P*K,) of each batch, a person's K images side by side.

        Nobody is twice in a batch, and over the epoch nobody is drawn two times more than another.
        """
        # The spawn key keeps this stream apart: numpy pads short seeds with zeros, so that
        # [seed, epoch] alone is the very stream of [seed, epoch, 0].
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, number], spawn_key=(1,)))
        drawn = np.zeros(len(self._rows), np.int64)
        return [self._batch(drawn, rng) for _ in range(len(self))]

    def _batch(self, drawn: Rows, rng: np.random.Generator) -> Rows:
        """The P people `drawn` least so far, lots deciding; it counts them as drawn."""
        chosen = np.lexsort((rng.random(len(drawn)), drawn))[: self.people]
        drawn[chosen] += 1
        return np.concatenate([self._images(self._rows[who], rng) for who in chosen])

    def _images(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """K of a person's images; who has fewer shows all of them, then again."""
        return np.resize(rng.permutation(rows), self.images)


def batches(photos: int, size: int, seed: int, epoch: int) -> list[Rows]:
    """Every photo once, in an order of the epoch's own; the last batch may be smaller."""
    # The spawn key keeps this stream apart from those of the steps.
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch], spawn_key=(1,)))
    return np.array_split(rng.permutation(photos), range(size, photos, size))
