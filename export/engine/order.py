"""What is asked of the process that builds, and what it answers."""

from __future__ import annotations

import msgspec

from ostiary.edge.runtime.bundle import ModelEntry
from ostiary.edge.runtime.engines import EngineLayers, EnginePlace, Precision, Proof

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Asks what there is: the library, and for RTX the GPU to build for, as sm86."""

    library: str
    compute: str | None = None


class Build(msgspec.Struct, frozen=True, tag=True):
    """Asks for a plan of an ONNX file, written to `plan`.

    `batches` are the smallest, usual and largest batch. `memory_mb` bounds the process's own
    memory, `workspace_mb` what one layer may take on the device.
    """

    library: str
    onnx: str
    plan: str
    flags: list[str]
    compute: str | None = None
    batches: tuple[int, int, int] = (1, 1, 1)
    memory_mb: int | None = None
    workspace_mb: int = 512
    timing_cache: str | None = None


class Prove(msgspec.Struct, frozen=True, tag=True):
    """Asks for a plan's distance from the golden vectors in `golden`, on this GPU."""

    plan: str
    name: str
    model: ModelEntry
    precision: Precision
    golden: str


class Here(msgspec.Struct, frozen=True, tag=True):
    """What an engine can be built for: builder flags by precision, and whether it can be run."""

    place: EnginePlace
    flags: dict[Precision, list[str]]
    """A precision that is not in it can not be built here."""
    runs: bool
    lacks: str = ""
    """Why a precision is missing."""


class Built(msgspec.Struct, frozen=True, tag=True):
    """A plan was written."""

    version: str
    plan_bytes: int
    layers: int
    """Of the network as parsed, before fusion."""
    build_s: float
    messages: list[str]
    """The warnings."""


class Proven(msgspec.Struct, frozen=True, tag=True):
    """The plan ran; how far it is off, and in which types its layers compute."""

    proof: Proof
    layers: EngineLayers


class Step(msgspec.Struct, frozen=True, tag=True):
    """A phase of TensorRT's has come so far."""

    phase: str
    done: int
    total: int


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """It can not be done; an OstiaryError of the other process."""

    message: str
    hint: str = ""
    passing: bool = False
    """The disk or the machine refused, not TensorRT."""


Order = Probe | Build | Prove
Answer = Here | Built | Proven | Step | Refusal
