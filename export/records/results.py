"""Measurements of an export as they are stored: the gate's verdict and each layer's cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.det import Comparison, DetFile, Sha256
from ostiary.edge.runtime.verifier_file import VerifierFile
from ostiary.export.records.calibration_table import Table


class GateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most TAR (absolute) that int8 may lose at each of `fmrs`, and the least cosines."""

    fmrs: tuple[float, ...] = (1e-3, 1e-4)
    int8_int8: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.002
    float_int8: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.001
    median_cosine: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    backends_agree: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99


USUAL = GateLimits()


class TarRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TAR at an FMR with its interval over people, and the tau that gives it."""

    fmr: float
    tau: float
    tar: Rate


class OpenSetRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of identification with `k` enrolled people, means over random enrollments.

    `fixed_fpir` is the FPIR at the tau for an FMR of 1e-3 in 1:1.
    """

    k: int
    tau: float
    fpir: Rate
    fnir: Rate
    fixed_fpir: float


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
    """The verdict on an int8 encoder; it holds for these two encoder files only."""

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

    None means not measured. Recorded measurements hold only for the same encoder bytes.
    """

    table: Table | None = None
    gate: Gate | None = None
    curve: DetFile | None = None
    layers: LayerCosts | None = None
    verifier: VerifierFile | None = None
