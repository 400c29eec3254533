"""The interface of every runner (one model on one backend) and of every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.manifest import ModelEntry

Tensors = dict[str, Floats]


class Runner(Protocol):
    """A loaded model. The caller may keep the returned arrays.

    `precision` is the type it computes in: f32, bf16 or f16; on TensorRT int8, fp16 or fp32.
    """

    precision: str

    def infer(self, inputs: Tensors) -> Tensors:
        """Run once. `inputs` and the result are float32 arrays by tensor name."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


class Backend(Protocol):
    """A library that runs models. If `runs_int8` is False, probes are embedded in float."""

    name: str
    runs_int8: bool

    def load(self, file: Path, model: ModelEntry) -> Runner:
        """A runner for one model file. Raises BackendError if the file cannot be loaded."""
        ...
