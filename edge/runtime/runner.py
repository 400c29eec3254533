"""One model on one backend: what every runner does."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.bundle import ModelEntry

Tensors = dict[str, Floats]


class Runner(Protocol):
    """A loaded model. The arrays it returns are the caller's to keep.

    `precision` is the float it computes in: f32, or bf16 or f16 where the processor has such units.
    """

    precision: str

    def infer(self, inputs: Tensors) -> Tensors:
        """Run once. `inputs` and the answer are float32 arrays by tensor name."""
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...


class Backend(Protocol):
    """A way to run models; without `runs_int8` probes are embedded in float there."""

    name: str
    runs_int8: bool

    def load(self, file: Path, model: ModelEntry) -> Runner:
        """A runner for one model file. Raises BackendError where it can not be loaded."""
        ...
