"""Models on OpenVINO: the default on x86 and Arm CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.runner import Tensors


class OpenVinoBackend:
    """Compiles each model for one stream: a door has one frame at a time."""

    name = "openvino"
    runs_int8 = True

    def __init__(self, threads: int, cache: Path | None, precision: str | None = None) -> None:
        """`precision` is the float type to compute in; by default the processor's fastest."""
        self._core = openvino.Core()
        self._settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # With pinning, every pipeline of a process would share the first core.
            "ENABLE_CPU_PINNING": False,
        }
        if precision is not None:
            self._settings["INFERENCE_PRECISION_HINT"] = precision
        if cache is not None:
            self._settings["CACHE_DIR"] = str(cache)

    def load(self, file: Path, model: ModelEntry) -> OpenVinoRunner:
        try:
            network = self._core.read_model(str(file))
            network.reshape({model.input: list(model.spec.shape)})
            compiled = self._core.compile_model(network, "CPU", self._settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BackendError(f"OpenVINO cannot load {file}: {reason}") from error
        return OpenVinoRunner(compiled)


class OpenVinoRunner:
    """One compiled model with one request of its own."""

    def __init__(self, compiled: Any) -> None:
        self._request: Any = compiled.create_infer_request()
        self.precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self._outputs = {port.get_any_name(): port for port in compiled.outputs}

    def infer(self, inputs: Tensors) -> Tensors:
        results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return {name: np.array(results[port]) for name, port in self._outputs.items()}

    def close(self) -> None:
        self._request = None
