"""Measurements of an export as they are stored: the gate's verdict and each layer's cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.det import Comparison, DetFile, Sha256
from ostiary.edge.runtime.heads.verifier_file import VerifierFile
from ostiary.export.records.calibration_table import Table


class GateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most TAR (absolute) that int8 may lose at each of `fmrs`, the least cosines, and the
    floor below which the float encoder itself is too weak.

    The floor asks for a TAR of `least_tar` at the FMR `at_fmr`, and allows an FNIR of `most_fnir`
    with 100 enrolled people at an FPIR of 0.01. A `least_tar` of 0 and a `most_fnir` of 1 ask for
    nothing.
    """

    fmrs: tuple[float, ...] = (1e-3, 1e-4)
    int8_int8: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.002
    float_int8: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.001
    median_cosine: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    backends_agree: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    least_tar: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.90
    at_fmr: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-3
    most_fnir: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.15


USUAL = GateLimits()


class TarRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TAR at an FMR with its interval over people, and the tau that gives it."""

    fmr: float
    tau: float
    tar: Rate


class OpenSetRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of identification with `k` enrolled people, means over random enrollments.

    `fixed_fpir` is the FPIR at the tau for an FMR of 1e-3 in 1:1. `wanted` is the FPIR that tau is
    for. Templates are of `photos` photos, probes of one or of a whole `visit`. `tau_of` is the
    group whose curve set tau, `gallery_of` the group of all people; empty for everybody.
    """

    k: int
    tau: float
    fpir: Rate
    fnir: Rate
    fixed_fpir: float
    wanted: float = 0.01
    photos: int = 1
    visit: bool = False
    tau_of: str = ""
    gallery_of: str = ""


class Compared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of one comparison: its name gives the precision of templates and of probes."""

    comparison: Comparison
    tar: list[TarRow]
    open_set: list[OpenSetRow]


class TarLoss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TAR lost against float/float at an FMR; without a `limit` the loss is only reported."""

    comparison: Comparison
    fmr: float
    loss: Rate
    limit: float | None


class Cosines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quantiles, over the images, of the cosine between two embeddings of the same image."""

    median: float
    p05: float
    p01: float
    least: float


class MovedPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pair whose score changed much; `a` and `b` are indices into the sorted data set."""

    kind: Literal["genuine", "impostor"]
    a: int
    b: int
    in_float: float
    in_int8: float


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the float encoder tells people apart under one reading of its input."""

    reading: str
    d_prime: float


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The verdict on an int8 encoder; it holds for these two encoder files only.

    `failures` say where int8 is not faithful to float, `weak` where the float encoder itself misses
    the floor of the `limits`; the gate passed if both are empty.
    """

    encoder_id: Sha256
    int8_sha256: Sha256
    passed: bool
    failures: list[str]
    data_set: str
    images: int
    people: int
    calibration_left_out: int
    learned_left_out: int = 0
    """The number of photos of people whom the float encoder learned from."""
    labels_left_out: int = 0
    """The number of photos with wrong labels, by the exclusion list with `labels_sha256`."""
    labels_sha256: Sha256 | None = None
    genuines: int
    impostors: int
    backend: str
    limits: GateLimits
    cosine: Cosines
    agreement: Cosines | None
    """Cosines between the backends on the same int8 file; None if only one is installed."""
    proven_on: list[str]
    compared: list[Compared]
    losses: list[TarLoss]
    worst: list[MovedPair]
    readings: list[Reading] = []
    """All readings, the declared one first."""
    weak: list[str] = []
    """Such as "recognises 41 % of people at FMR 1e-3, 90 % are needed"; the subject is the
    encoder."""

    @property
    def faithful(self) -> bool:
        """Whether int8 recognises people as float does."""
        return not self.failures

    @property
    def headline(self) -> str:
        """The verdict in a few words: `passed`, `failed`, or for a weak encoder how weak it is."""
        if self.faithful and self.weak:
            return f"faithful, but {self.weak[0].partition(' at ')[0]}"
        return "passed" if self.passed else "failed"


class LayerCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cost of rounding one layer alone: 1 - mean cosine, and the TAR at `LayerCosts.fmr`."""

    node: str
    operator: str
    depthwise: bool
    cosine: float
    tar: float


class LayerCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every layer's cost, and the reason for each layer that the search left in float."""

    encoder_id: Sha256
    images: int
    fmr: float
    costs: list[LayerCost]
    floats: dict[str, str]


@dataclass(frozen=True, slots=True)
class EncoderMeasurements:
    """All measurements of a bundle's encoders, or those recorded beside a recipe.

    None means not measured. Recorded measurements hold only for the same encoder bytes. `limits`
    are the bundle's own, as its build set them.
    """

    table: Table | None = None
    gate: Gate | None = None
    curve: DetFile | None = None
    layers: LayerCosts | None = None
    verifier: VerifierFile | None = None
    limits: GateLimits = USUAL
