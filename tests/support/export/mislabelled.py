"""Made-up embeddings of people with one photo to six, and wrong names for some of the photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.fakes import unit

DIM = 128
NOISE = 0.75
"""Photos of one person score .64 on average, and hardly ever below .4."""


@dataclass(frozen=True, eq=False)
class Faces:
    """Embeddings (n, dim), their people (n,), and each person's centre (people, dim)."""

    rows: NDArray[np.float32]
    person: NDArray[np.int64]
    centres: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def like(self, people: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
        """Another photo of each of these people."""
        noise = np.random.default_rng(seed).standard_normal((len(people), DIM))
        return unit(self.centres[people] + NOISE * noise)


def made_up(people: int, seed: int) -> Faces:
    """The first sixth of the people has one photo, the last six."""
    centres = np.random.default_rng(seed).standard_normal((people, DIM))
    person = np.arange(people).repeat(1 + np.arange(people) * 6 // people)
    faces = Faces(np.empty(0, np.float32), person, centres)
    return Faces(faces.like(person, seed + 1), person, centres)


def named(faces: Faces, photos: int) -> list[int]:
    """The people with this number of photos."""
    return [int(name) for name in np.flatnonzero(np.bincount(faces.person) == photos)]


def moved(person: NDArray[np.int64], count: int, seed: int) -> tuple[NDArray[np.int64], list[int]]:
    """The names after `count` photos of people with several got another name, and these photos.

    A name loses or gets one photo at most.
    """
    rng = np.random.default_rng(seed)
    several = np.bincount(person)[person] > 1
    changed, touched, photos = person.copy(), set[int](), list[int]()
    for photo in rng.permutation(np.flatnonzero(several)):
        name = int(rng.choice(person))
        names = {name, int(person[photo])}
        if len(photos) < count and len(names) == 2 and not names & touched:
            touched |= names
            changed[photo] = name
            photos.append(int(photo))
    return changed, photos
