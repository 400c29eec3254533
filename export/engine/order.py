"""Messages to and from the process that builds engines: orders and answers."""

from __future__ import annotations

import msgspec

from ostiary.edge.runtime.engines import EngineLayers, EnginePlace, Precision, Proof
from ostiary.edge.runtime.manifest import ModelEntry

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"


class PlaceQuery(msgspec.Struct, frozen=True, tag=True):
    """Asks what can be built here. `compute` (only RTX) is the GPU to build for, as sm86."""

    library: str
    compute: str | None = None


class Build(msgspec.Struct, frozen=True, tag=True):
    """Asks to build the file `onnx` into a plan, written to the file `plan`.

    `batches` are the smallest, usual and largest batch. `memory_mb` limits the memory of the
    building process, `workspace_mb` the device memory of one layer.
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
    """Asks to run a plan on this GPU and compare it with the golden vectors in `golden`."""

    plan: str
    name: str
    model: ModelEntry
    precision: Precision
    golden: str


class Here(msgspec.Struct, frozen=True, tag=True):
    """The answer to a PlaceQuery: builder flags by precision, and whether engines can run here."""

    place: EnginePlace
    flags: dict[Precision, list[str]]
    """The flags by precision; a precision without an entry cannot be built here."""
    runs: bool
    lacks: str = ""
    """The reason why a precision is missing."""


class Built(msgspec.Struct, frozen=True, tag=True):
    """The answer to Build: the plan was written."""

    version: str
    plan_bytes: int
    layers: int
    """Number of layers of the parsed network, before fusion."""
    build_s: float
    messages: list[str]
    """TensorRT's warnings."""


class ProvenPlan(msgspec.Struct, frozen=True, tag=True):
    """The answer to Prove: the plan's distance from the golden vectors, and each layer's type."""

    proof: Proof
    layers: EngineLayers


class BuildStep(msgspec.Struct, frozen=True, tag=True):
    """Progress of the build: `done` of `total` steps of one of TensorRT's phases."""

    phase: str
    done: int
    total: int


class BuildRefusal(msgspec.Struct, frozen=True, tag=True):
    """The order failed in the other process with this OstiaryError."""

    message: str
    hint: str = ""
    passing: bool = False
    """True if the disk or the machine failed, so that another try may succeed."""


Order = PlaceQuery | Build | Prove
Answer = Here | Built | ProvenPlan | BuildStep | BuildRefusal
