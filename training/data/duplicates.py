"""Finds duplicates among aligned faces: one photo recompressed, resized or mirrored."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats, Image
from ostiary.export.graphs.run import Images

SIDE_PX = 32
WAVES = 16
"""The hash uses the WAVES x WAVES lowest frequencies; each except the mean gives one bit."""
BITS = WAVES * WAVES - 1
SAME_PERSON_BITS = 22
"""Rows of one person that differ by at most this are one photo. In `orl`, two shots of a person who
holds still differ by 25 bits or more."""
TWO_PEOPLE_BITS = 45
"""Rows of two people that differ by at most this may be one photo. In `faces` and `orl`, aligned
faces of two people differ by 58 bits or more: of 5.7 million pairs two differ by 58, and with every
two bits less the number of pairs halves. So of the 5 billion pairs of 10^5 photos, some twenty
pairs of different people may be this alike: a person must look at them."""
BLOCK = 1024


class Twins(NamedTuple):
    """Two rows, first < second, that probably show one photo: their hashes differ by `bits`."""

    first: int
    second: int
    bits: int


def perceptual_hash(image: Image) -> Floats:
    """The hash (BITS,) of a picture (h, w, 3) uint8 BGR: the signs, 1 or -1, of its lowest cosines.

    The DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions
    (2010), with four times its bits: aligned faces are so alike that 64 bits cannot separate them.
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
    """Every pair of rows that show one photo, or a photo and its mirror image.

    `two_people` and `same_person` are the greatest differences, in bits, for rows of two people and
    of one. The second is smaller: shots taken of one person at one moment are alike, and not an
    error.
    """
    if not len(images):
        return []
    plain = np.stack([perceptual_hash(image) for image in images])
    mirrored = np.stack([perceptual_hash(cv2.flip(image, 1)) for image in images])
    found = []
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        # The product of two hashes of signs is BITS minus twice the number of bits that differ.
        alike = np.maximum(plain[block] @ plain.T, plain[block] @ mirrored.T)
        bits = (BITS - alike) / 2
        most = np.where(person[block, None] == person[None], same_person, two_people)
        rows, others = np.nonzero(bits <= most)
        ahead = rows + start < others
        for row, other in zip(rows[ahead], others[ahead], strict=True):
            found.append(Twins(int(row) + start, int(other), round(float(bits[row, other]))))
    return found


def repeats(found: list[Twins]) -> list[Twins]:
    """The pairs whose second row can be dropped, so that one row of each photo remains."""
    gone: set[int] = set()
    kept = []
    for twins in sorted(found):
        if not gone & {twins.first, twins.second}:
            gone.add(twins.second)
            kept.append(twins)
    return kept
