"""Embeddings of made-up people: alike by chance as real ones are, so that their scores have a
tail."""

from __future__ import annotations

import numpy as np

from ostiary.export.faces.kinds import People
from tests.support.fakes import unit

DIM = 48


def people(
    number: int, images: int, seed: int, looks: int = 12, noise: float = 0.25, alike: float = 0.0
) -> People:
    """`number` people differ in `looks` of 48 dimensions, and their images in all of them.

    Few dimensions make strangers alike. The mean of several images has less noise, which lifts the
    scores of strangers too. `alike` moves everybody towards one face.
    """
    rng = np.random.default_rng(seed)
    centres = np.zeros((number, DIM))
    centres[:, :looks] = unit(rng.standard_normal((number, looks)))
    centres[:, 0] += alike
    rows = centres.repeat(images, axis=0)
    found = unit(rows + noise * rng.standard_normal(rows.shape))
    return People(found, found, np.arange(number).repeat(images))
