"""The same photo twice among aligned faces: recompressed, resized or mirrored."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats, Image
from ostiary.export.graphs.run import Images

SIDE_PX = 32
WAVES = 16
"""A side of the square of lowest frequencies that a hash has a bit of each, but for the mean."""
BITS = WAVES * WAVES - 1
SAME_PERSON_BITS = 22
"""Two shots of a person who holds still differ by 25 bits or more, in `orl`."""
TWO_PEOPLE_BITS = 45
"""Aligned faces of two people differ by 58 bits or more in `faces` and in `orl`: of 5.7 million
pairs 2 by as few, and about half as many with every two bits less. So some twenty of the 5 billion
pairs of 10^5 photos may be as alike as this and no mistake: what is found is to be looked at."""
BLOCK = 1024


class Twins(NamedTuple):
    """Two rows, first < second, whose hashes differ by so few bits that they are one photo."""

    first: int
    second: int
    bits: int


def perceptual_hash(image: Image) -> Floats:
    """The signs (BITS,), 1 or -1, of a picture's lowest cosine waves: (h, w, 3) uint8 BGR.

    The DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions
    (2010), with four times its bits: aligned faces are so alike that 64 can not tell them apart.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small.astype(np.float32))[:WAVES, :WAVES].ravel()[1:]
    return np.where(waves > 0, 1, -1).astype(np.float32)


def find(
    images: Images,
    person: NDArray[np.int64],
    same_person: int = SAME_PERSON_BITS,
    two_people: int = TWO_PEOPLE_BITS,
) -> list[Twins]:
    """Every pair of rows that are one photo, or one and the other's mirror image.

    Of two people hardly anything but one photo is as alike as `two_people` bits; of one person two
    shots of one moment are, and no error: they must differ by no more than `same_person`.
    """
    if not len(images):
        return []
    plain = np.stack([perceptual_hash(image) for image in images])
    mirrored = np.stack([perceptual_hash(cv2.flip(image, 1)) for image in images])
    found = []
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        # Of signs, the product sums to BITS less twice the number that differ.
        alike = np.maximum(plain[block] @ plain.T, plain[block] @ mirrored.T)
        bits = (BITS - alike) / 2
        most = np.where(person[block, None] == person[None], same_person, two_people)
        rows, others = np.nonzero(bits <= most)
        ahead = rows + start < others
        for row, other in zip(rows[ahead], others[ahead], strict=True):
            found.append(Twins(int(row) + start, int(other), round(float(bits[row, other]))))
    return found


def repeats(found: list[Twins]) -> list[Twins]:
    """Those whose second row can go, so that one row of each photo stays."""
    gone: set[int] = set()
    kept = []
    for twins in sorted(found):
        if not gone & {twins.first, twins.second}:
            gone.add(twins.second)
            kept.append(twins)
    return kept
