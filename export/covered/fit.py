"""Fits the head that tells covered faces from bare ones, and judges it on people held out."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.heads.covered_file import SCHEMA, CoveredFile, CoverShare
from ostiary.export.covered import network
from ostiary.export.covered.covers import COVERS, HARMLESS
from ostiary.export.covered.looks import BARE, CoverLooks

HELD_OUT = 5
"""One person in so many is held out of the fit; the level is theirs."""
REFUSED = 0.008
"""The share of bare photos of people held out that the level refuses. One news photograph in two
hundred shows somebody in dark glasses, and counts here."""
LEAST_PEOPLE = 50
Values = NDArray[np.float64]
Say = Callable[[str], None]


def fit(
    looks: CoverLooks,
    data_set: str,
    left_out: Collection[str],
    say: Say,
    epochs: int = network.EPOCHS,
) -> CoveredFile:
    """The head, its level and its shares on people held out; the kinds of covers `left_out` are
    not fitted on either.

    Raises PhotoError below 50 people or for an unknown kind, BundleError without PyTorch.
    """
    if looks.people < LEAST_PEOPLE:
        raise PhotoError(
            f"photos of {looks.people} people, at least {LEAST_PEOPLE} are needed",
            "give more people",
        )
    unknown = sorted(set(left_out) - set(COVERS))
    if unknown:
        raise PhotoError(
            f"no cover is called {', '.join(unknown)}",
            f"covers are {', '.join(COVERS)}",
            option="leave-out",
        )
    out = looks.person % HELD_OUT == 0
    fitted = looks.only(~out & ~np.isin(looks.kind, list(left_out)))
    layers = network.train(fitted.pictures, fitted.covered, say, epochs)
    judged = looks.only(out & looks.plain)
    made = CoveredFile(
        schema=SCHEMA,
        layers=layers,
        data_set=data_set,
        people=len(set(fitted.person)),
        photos=looks.photos,
        judged_people=len(set(judged.person)),
        judged=[],
    )
    say("people held out")
    head = made.head()
    said = np.array([head.coveredness(picture) for picture in judged.pictures])
    level = float(np.quantile(said[judged.kind == BARE], 1 - REFUSED))
    last = made.layers[-1]
    bias = [round(last.bias[0] - level, 5)]
    return msgspec.structs.replace(
        made,
        layers=[*made.layers[:-1], msgspec.structs.replace(last, bias=bias)],
        judged=shares(said - level, judged.kind),
    )


def shares(coveredness: Values, kinds: NDArray[np.str_]) -> list[CoverShare]:
    """For each kind that occurs, the number of faces and the share that looks covered."""
    found = []
    for kind in (BARE, *HARMLESS, *COVERS):
        of = coveredness[kinds == kind]
        if len(of):
            found.append(CoverShare(kind, len(of), round(float(np.mean(of >= 0)), 6)))
    return found
