"""One model on one backend: what every runner does, and how one is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge.core.types import Floats
from edge.errors import BackendError
from edge.runtime.bundle import ModelEntry

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
    """A way to run models."""

    name: str

    def load(self, file: Path, model: ModelEntry) -> Runner:
        """A runner for one model file. Raises BackendError where it can not be loaded."""
        ...


def backends(choice: str, threads: int, cache: Path | None) -> list[Backend]:
    """The backends to try, in order. `auto` is OpenVINO, then ONNX Runtime.

    Raises BackendError where none that was asked for is installed.
    """
    names = ["openvino", "onnxruntime"] if choice == "auto" else [choice]
    found: list[Backend] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(_make(name, threads, cache))
        except ImportError as error:
            missing.append(f"{name}: {error}")
    if not found:
        raise BackendError(
            f"no backend is installed ({'; '.join(missing)})", "pip install 'ostiary[cpu]'"
        )
    return found


def _make(name: str, threads: int, cache: Path | None) -> Backend:
    # Imported here: a device has one of these installed, not all.
    if name == "openvino":
        from edge.runtime.ovino import OpenVinoBackend

        return OpenVinoBackend(threads, cache)
    if name == "onnxruntime":
        from edge.runtime.onnxrt import OnnxRuntimeBackend

        return OnnxRuntimeBackend(threads)
    raise BackendError(f"unknown backend {name!r}", "one of auto, openvino, onnxruntime")
