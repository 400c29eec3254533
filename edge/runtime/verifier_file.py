"""`verifier.json`: a bundle's logistic head, and what it was worth on people it had never seen."""

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

VERIFIER = "verifier.json"
SCHEMA = 1
FMR = 1e-3
"""Where head and plain distance are compared."""
LEAST_PEOPLE = 50
"""Fewer with two photos that were judged are no evidence, however many pairs they make."""
AGAIN = "ostiary-train verifier --bundle BUNDLE --faces DIR makes one for this bundle"
Share = Annotated[float, Meta(ge=0, le=1)]


class Bin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One point of the reliability diagram: the pairs of a tenth, say, of all probabilities.

    `said` is their mean probability and `met` the share that is of one person, both at the file's
    prior; `weight` is the bin's part of all. A bin without pairs is left out.
    """

    said: Share
    met: Share
    weight: Share
    genuines: int
    impostors: int


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one comparison showed on the judged people: counts over the file's `logits`, and rates.

    `gain` is the AUC of the head less that of the plain distance, on the same pairs, and
    `distance_fnmr` the latter's FNMR where its FMR is 1e-3 on them.
    """

    counts: Counts
    auc: Rate
    distance_auc: Rate
    gain: Rate
    distance_fnmr: Share
    calibration_error: Share
    reliability: list[Bin]


class VerifierFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head of one encoder: see `edge.core.scores.verifier`.

    `prior` is the share of honest claims that its probabilities are for; `people` were judged,
    after others had been fitted on. All numbers of people are of those with two photos or more, and
    `images` are theirs: others make no genuine pair, and are impostors alone.
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
    """How strongly the weights were held together; chosen on people who are not judged."""
    logits: list[float]
    float_float: Judged
    int8_sha256: Sha256 | None = None
    """The int8 encoder of the probes of `float_int8`."""
    float_int8: Judged | None = None
    insisted: str = ""
    """What was wrong with it where the user insisted on it."""

    def head(self) -> Verifier:
        return Verifier(np.array(self.weights, np.float64), self.bias)

    def curve(self, comparison: Comparison = "float_float") -> DetCurve:
        """The DET curve over the logit. Raises BundleError where it was not measured."""
        judged: Judged | None = getattr(self, comparison, None)
        if judged is None:
            raise BundleError(f"{VERIFIER} has no {comparison} comparison", AGAIN)
        return curve_of(VERIFIER, self.logits, judged.counts, self.data_set)

    def fnmr(self, comparison: Comparison = "float_float") -> float:
        """The FNMR of the head alone with the threshold that a door takes for an FMR of 1e-3."""
        curve = self.curve(comparison)
        return curve.fnmr(threshold(curve, FMR, 1).tau)

    def check(self, encoder_id: str, dim: int, int8_sha256: str | None) -> None:
        """Raises BundleError where it is not of this bundle's encoders or no number is one."""
        if self.schema != SCHEMA:
            raise BundleError(f"{VERIFIER} has schema {self.schema}, this version reads {SCHEMA}")
        if self.encoder_id != encoder_id:
            raise BundleError(f"{VERIFIER} is of another encoder than the bundle's", AGAIN)
        if len(self.weights) != dim:
            raise BundleError(f"{VERIFIER} has {len(self.weights)} weights, expected {dim}", AGAIN)
        if not np.isfinite([*self.weights, self.bias]).all():
            raise BundleError(f"{VERIFIER} has a weight that is no number", AGAIN)
        if int8_sha256 is not None and self.int8_sha256 not in (None, int8_sha256):
            raise BundleError(f"{VERIFIER} was judged with another int8 encoder", AGAIN)
        if (self.float_int8 is None) != (self.int8_sha256 is None):
            raise BundleError(
                f"{VERIFIER} does not say which int8 encoder it was judged with", AGAIN
            )
        if self.people < LEAST_PEOPLE:
            raise BundleError(
                f"{VERIFIER} was judged on {self.people} people with several photos,"
                f" {LEAST_PEOPLE} are the least",
                AGAIN,
            )
        for comparison in ("float_float", "float_int8"):
            if getattr(self, comparison) is not None:
                self.curve(comparison)


def parse(raw: bytes, where: str) -> VerifierFile:
    """A verifier from its JSON. Raises BundleError, naming the file and the field at fault."""
    try:
        return msgspec.json.decode(raw, type=VerifierFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{where}: {error}", AGAIN) from error


def to_text(file: VerifierFile) -> bytes:
    """Its JSON; the same for the same figures."""
    return msgspec.json.encode(file) + b"\n"
