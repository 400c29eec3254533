"""Models on ONNX Runtime: slower than OpenVINO on a CPU, but available everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.runner import Tensors

onnxruntime.disable_telemetry_events()

# ONNX Runtime's exceptions have no common base class.
FAILURES = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


class OnnxRuntimeBackend:
    """Opens a CPU session for each model."""

    name = "onnxruntime"
    runs_int8 = False
    """False although it can run int8: here int8 has 2/3 of float's speed, since its Q/DQ pairs are
    placed for TensorRT."""

    def __init__(self, threads: int) -> None:
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.log_severity_level = 3

    def load(self, file: Path, model: ModelEntry) -> OnnxRuntimeRunner:
        try:
            session = onnxruntime.InferenceSession(
                str(file), self._options, providers=["CPUExecutionProvider"]
            )
        except FAILURES as error:
            raise BackendError(f"ONNX Runtime cannot load {file}: {error}") from error
        return OnnxRuntimeRunner(session)


class OnnxRuntimeRunner:
    """One model's session."""

    def __init__(self, session: Any) -> None:
        self._session: Any = session
        self.precision = "f32"
        self._outputs: list[str] = [output.name for output in session.get_outputs()]

    def infer(self, inputs: Tensors) -> Tensors:
        results = self._session.run(self._outputs, inputs)
        return {
            name: np.asarray(result) for name, result in zip(self._outputs, results, strict=True)
        }

    def close(self) -> None:
        self._session = None
