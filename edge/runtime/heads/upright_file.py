"""`upright.json`: the head that tells upright faces from turned ones, and how well it does."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from ostiary.edge.core.faces.upright import LANDMARKS, UprightHead
from ostiary.edge.errors import BundleError
from ostiary.edge.files import to_json
from ostiary.edge.runtime.det import Sha256
from ostiary.edge.runtime.heads import stored

UPRIGHT = "upright.json"
SCHEMA = 1
AGAIN = "ostiary-export fit-upright makes one for this landmark model"
Share = Annotated[float, Meta(ge=0, le=1)]


class TurnShares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the faces found in photos turned by `turned` degrees: their number, and the share of them
    that looks upright."""

    turned: int
    faces: int
    upright: Share


class UprightFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head of one landmark model: see `ostiary.edge.core.faces.upright`.

    It was fitted on `people` people of `data_set`. A face is upright at 0 or more; a turn is clear
    if it leads the second best by `lead`. `judged` are the shares on people held out, fold by fold,
    with photos that were only turned.
    """

    schema: int
    landmarks_sha256: Sha256
    weights: list[float]
    bias: float
    lead: Annotated[float, Meta(ge=0)]
    data_set: str
    people: int
    photos: int
    noise: float
    """The noise added to the landmarks that it was fitted on, in sides of the box."""
    judged: list[TurnShares]

    def head(self) -> UprightHead:
        return UprightHead(np.array(self.weights, np.float64), self.bias)

    def check(self, landmarks_sha256: str) -> None:
        """Raise BundleError if the file is for another landmark model or cannot be used."""
        if self.schema != SCHEMA:
            raise BundleError(f"{UPRIGHT} has schema {self.schema}, this version reads {SCHEMA}")
        if self.landmarks_sha256 != landmarks_sha256:
            raise BundleError(f"{UPRIGHT} is for another landmark model than the bundle's", AGAIN)
        if len(self.weights) != LANDMARKS:
            raise BundleError(
                f"{UPRIGHT} has {len(self.weights)} weights, expected {LANDMARKS}", AGAIN
            )
        if not np.isfinite([*self.weights, self.bias, self.lead]).all():
            raise BundleError(f"{UPRIGHT} has a value that is not a number", AGAIN)


def parse(raw: bytes, where: str) -> UprightFile:
    """A head from its JSON. Raises BundleError, naming the file and the field at fault."""
    return stored.decoded(raw, UprightFile, where, AGAIN)


def to_text(file: UprightFile) -> bytes:
    """The file as JSON; equal files give equal bytes."""
    return to_json(file)
