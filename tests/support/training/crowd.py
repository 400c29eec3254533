"""Made-up people's embeddings, and how the training of the logistic head splits them."""

from __future__ import annotations

import numpy as np

from ostiary.training.tasks import verifier as training
from ostiary.training.tasks.verifier import Embedded, VerifierSettings
from tests.support.fakes import unit

DIM = 12
HOW = VerifierSettings(impostors=3000, strengths=(1e-3, 1e-1))


def crowd(people: int = 150, photos: int = 6, noisy: int = 0, seed: int = 0) -> Embedded:
    """People as directions; the last `noisy` values differ from photo to photo of one person."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), photos)
    rows = rng.standard_normal((people, DIM))[person]
    rows += 0.45 * rng.standard_normal(rows.shape)
    if noisy:
        rows[:, -noisy:] = 1.5 * rng.standard_normal((len(rows), noisy))
    return Embedded(unit(rows), person)


def parts_of(given: Embedded, seed: int = 0) -> list[list[int]]:
    """The people to fit on, to calibrate on and to evaluate on."""
    parts = training._parts(given, HOW, np.random.default_rng(seed))
    return [np.unique(part.person).tolist() for part in parts]


def photos_of(photos: list[int], seed: int = 0) -> Embedded:
    """A crowd with `photos[i]` photos of person i."""
    many = crowd(people=len(photos), photos=max(photos), seed=seed)
    place = np.arange(len(many.person)) % max(photos)
    return many.of(place < np.array(photos)[many.person])
