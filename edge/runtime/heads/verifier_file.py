"""`verifier.json`: a bundle's logistic head, and its results on people held out."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.det import Comparison, Counts, Sha256, curve_of
from ostiary.edge.runtime.heads import stored

VERIFIER = "verifier.json"
SCHEMA = 1
FMR = 1e-3
"""The FMR at which the head is compared with the plain distance."""
LEAST_PEOPLE = 50
"""The least number of evaluated people with two photos: fewer are no evidence, however many pairs.
"""
AGAIN = "ostiary-train verifier makes one for this bundle"
Share = Annotated[float, Meta(ge=0, le=1)]


class Bin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of the reliability diagram: the pairs in one range of probabilities.

    `said` is their mean probability and `met` the share of them that show one person, both at the
    file's prior; `weight` is the range's share of all pairs. A range without pairs has no point.
    """

    said: Share
    met: Share
    weight: Share
    genuines: int
    impostors: int


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison on the evaluated people: counts over the file's `logits`, and rates.

    `gain` is the head's AUC minus the plain distance's, on the same pairs. `distance_fnmr` is the
    plain distance's FNMR at an FMR of 1e-3 on these pairs.
    """

    counts: Counts
    auc: Rate
    distance_auc: Rate
    gain: Rate
    distance_fnmr: Share
    calibration_error: Share
    reliability: list[Bin]


class VerifierFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The logistic head of one encoder: see `ostiary.edge.core.scores.verifier`.

    `prior` is the share of honest claims that its probabilities assume. It was evaluated on
    `people`, and fitted on none of them. All these numbers, and `images`, count only people with
    two photos or more: people with one photo make no genuine pair and serve as impostors.
    """

    schema: int
    encoder_id: Sha256
    weights: list[float]
    bias: float
    prior: Annotated[float, Meta(gt=0, lt=1)]
    data_set: str
    fitted_people: int
    calibrated_people: int
    people: int
    images: int
    shrinkage: float
    """The strength of the weights' regularisation, chosen on people who are not evaluated."""
    logits: list[float]
    float_float: Judged
    int8_sha256: Sha256 | None = None
    """The int8 encoder that made the probes of `float_int8`."""
    float_int8: Judged | None = None
    insisted: str = ""
    """What was wrong with the head, if it was kept at the user's request."""

    def head(self) -> Verifier:
        return Verifier(np.array(self.weights, np.float64), self.bias)

    def curve(self, comparison: Comparison = "float_float") -> DetCurve:
        """The DET curve over the logit. Raises BundleError if it was not measured."""
        judged: Judged | None = getattr(self, comparison, None)
        if judged is None:
            raise BundleError(f"{VERIFIER} has no {comparison} comparison", AGAIN)
        return curve_of(VERIFIER, self.logits, judged.counts, self.data_set)

    def fnmr(self, comparison: Comparison = "float_float") -> float:
        """The head's own FNMR at the threshold that a door uses for an FMR of 1e-3."""
        curve = self.curve(comparison)
        return curve.fnmr(threshold(curve, FMR, 1).tau)

    def check(self, encoder_id: str, dim: int, int8_sha256: str | None) -> None:
        """Raise BundleError if the file is for other encoders or its numbers are unusable."""
        if self.schema != SCHEMA:
            raise BundleError(f"{VERIFIER} has schema {self.schema}, this version reads {SCHEMA}")
        if self.encoder_id != encoder_id:
            raise BundleError(f"{VERIFIER} is for another encoder than the bundle's", AGAIN)
        if len(self.weights) != dim:
            raise BundleError(f"{VERIFIER} has {len(self.weights)} weights, expected {dim}", AGAIN)
        if not np.isfinite([*self.weights, self.bias]).all():
            raise BundleError(f"{VERIFIER} has a weight that is not a number", AGAIN)
        if int8_sha256 is not None and self.int8_sha256 not in (None, int8_sha256):
            raise BundleError(f"{VERIFIER} was evaluated with another int8 encoder", AGAIN)
        if (self.float_int8 is None) != (self.int8_sha256 is None):
            raise BundleError(
                f"{VERIFIER} does not say which int8 encoder it was evaluated with", AGAIN
            )
        if self.people < LEAST_PEOPLE:
            raise BundleError(
                f"{VERIFIER} was evaluated on {self.people} people with several photos,"
                f" at least {LEAST_PEOPLE} are needed",
                AGAIN,
            )
        for comparison in ("float_float", "float_int8"):
            if getattr(self, comparison) is not None:
                self.curve(comparison)


def parse(raw: bytes, where: str) -> VerifierFile:
    """A verifier from its JSON. Raises BundleError, naming the file and the field at fault."""
    return stored.decoded(raw, VerifierFile, where, AGAIN)


def to_text(file: VerifierFile) -> bytes:
    """The file as JSON; equal files give equal bytes."""
    return msgspec.json.encode(file) + b"\n"
