"""Fits the head that tells upright faces from turned ones, and judges it on people held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces.upright import DEGREES
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.heads.upright_file import SCHEMA, TurnShares, UprightFile
from ostiary.export.upright.looks import FaceLooks

NOISE = 0.003
"""Noise added to the landmarks that are fitted on, in sides of the box. The 136 values depend on
each other so closely that a fit without noise lives on their last digits: rounded to bfloat16, in
which some processors compute, upright faces would be refused three times as often."""
STRENGTH = 0.01
"""The penalty on weights of standardised columns; the noise does most of what it would."""
FOLDS = 5
REFUSED = 0.003
"""The share of upright photos of people held out that the level refuses."""
LEAD = 3.0
"""The lead, in logits, of a turn that is clearly the upright one."""
LEAST_PEOPLE = 50
STEPS = 50
Values = NDArray[np.float64]
Say = Callable[[str], None]


def fit(looks: FaceLooks, landmarks_sha256: str, data_set: str, say: Say) -> UprightFile:
    """The head of a landmark model, fitted on all looks, its level and shares on people held out.

    Raises PhotoError below 50 people.
    """
    if looks.people < LEAST_PEOPLE:
        raise PhotoError(
            f"photos of {looks.people} people, at least {LEAST_PEOPLE} are needed",
            "give more people",
        )
    rows = looks.landmarks.astype(np.float64)
    noisy = rows + np.random.default_rng(0).normal(0, NOISE, rows.shape)
    upright, plain = looks.degrees == 0, looks.plain
    logits = np.zeros(len(rows))
    for fold in range(FOLDS):
        say(f"fold {fold + 1} of {FOLDS}")
        out = looks.person % FOLDS == fold
        weights, bias = regression(noisy[~out], upright[~out], STRENGTH)
        logits[out] = rows[out] @ weights + bias
    level = float(np.quantile(logits[upright & plain], REFUSED))
    say("all people")
    weights, bias = regression(noisy, upright, STRENGTH)
    return UprightFile(
        schema=SCHEMA,
        landmarks_sha256=landmarks_sha256,
        # Few digits make a record that can be read, and cost nothing that could be measured.
        weights=[float(f"{weight:.6g}") for weight in weights],
        bias=round(bias - level, 5),
        lead=LEAD,
        data_set=data_set,
        people=looks.people,
        photos=looks.photos,
        noise=NOISE,
        judged=shares(logits[plain] - level, looks.degrees[plain]),
    )


def shares(uprightness: Values, degrees: NDArray[np.int64]) -> list[TurnShares]:
    """For each turn, how many faces were found and the share of them that looks upright."""
    found = []
    for turned in DEGREES:
        of = uprightness[degrees == turned]
        share = float(np.mean(of >= 0)) if len(of) else 0.0
        found.append(TurnShares(turned, len(of), round(share, 6)))
    return found


def regression(rows: Values, upright: NDArray[np.bool_], strength: float) -> tuple[Values, float]:
    """Weights (136,) and bias of a logistic regression with a squared penalty, by Newton's method.

    The penalty is on weights of standardised columns, because pixels near the edge of the face vary
    more than those of the nose.
    """
    mean, spread = rows.mean(0), rows.std(0) + 1e-9
    scaled = np.c_[(rows - mean) / spread, np.ones(len(rows))]
    penalty = np.full(scaled.shape[1], strength)
    penalty[-1] = 0.0
    found = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        said = _probability(scaled @ found)
        slope = scaled.T @ (said - upright) + penalty * found
        curvature = (scaled.T * (said * (1 - said))) @ scaled + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        found = found - step
        if float(np.abs(step).max()) < 1e-6:
            break
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def _probability(logits: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
