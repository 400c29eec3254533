"""Runs encoders on the workstation, in batches of any size, and reads their inner tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ostiary.edge.core.faces.preprocess import InputSpec, to_tensor
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError, BundleError
from ostiary.edge.runtime.onnxrt import FAILURES

BATCH = 32
Images = NDArray[np.uint8]


def run(model: onnx.ModelProto, given: Floats) -> Floats:
    """Run a model with one output on one batch, by ONNX Runtime."""
    (name,) = (output.name for output in model.graph.output)
    return Peek(model, [name])(given)[name]


class Peek:
    """A model that returns the values of chosen tensors, including inner ones."""

    def __init__(self, model: onnx.ModelProto, names: list[str], threads: int = 0) -> None:
        """Compute only what the tensors `names` need. Raises BundleError for an invalid model."""
        import onnxruntime

        wanted = onnx.ModelProto.FromString(model.SerializeToString())
        outputs = {output.name: output for output in wanted.graph.output}
        blank = helper.make_tensor_value_info
        del wanted.graph.output[:]
        wanted.graph.output.extend(
            outputs.get(name) or blank(name, TensorProto.FLOAT, None) for name in names
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, threads
        try:
            self._session: Any = onnxruntime.InferenceSession(
                wanted.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except FAILURES as error:
            raise BundleError(f"ONNX Runtime cannot run the encoder: {error}") from error
        self._names, self._input = names, self._session.get_inputs()[0].name

    def __call__(self, given: Floats) -> dict[str, Floats]:
        try:
            results = self._session.run(self._names, {self._input: given})
        except FAILURES as error:
            raise BundleError(f"the encoder cannot be run: {error}") from error
        return dict(zip(self._names, results, strict=True))


def tensors(images: Images, spec: InputSpec) -> Floats:
    """Crops (n, h, w, 3) as one tensor (n, c, h, w), preprocessed by the device's code."""
    return np.concatenate([to_tensor(image, spec) for image in images])


def batches(images: Images, spec: InputSpec, size: int = BATCH) -> Iterator[Floats]:
    """Crops (n, h, w, 3) as tensors of at most `size` images each."""
    for start in range(0, len(images), size):
        yield tensors(images[start : start + size], spec)


def embed(model: bytes, images: Images, spec: InputSpec, backend: str = "openvino") -> Floats:
    """Unit-length float32 embeddings (n, dim) of crops (n, h, w, 3), by a backend.

    Raises BackendError if the backend is unknown or cannot load the model, and BundleError if an
    embedding is zero or not finite.
    """
    infer = _openvino(model, spec) if backend == "openvino" else _onnxruntime(model, backend)
    rows = np.concatenate([infer(batch) for batch in batches(images, spec)])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise BundleError(f"on {backend} the encoder gives embeddings that are zero or not finite")
    return np.asarray(rows / norms, np.float32)


def _openvino(model: bytes, spec: InputSpec) -> Any:
    import openvino

    core = openvino.Core()
    try:
        network = core.read_model(model, b"")
        network.reshape([-1, *spec.shape[1:]])
        # Use float32: the processor's rounding to bfloat16 must not count as an error of int8.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
        request = core.compile_model(network, "CPU", settings).create_infer_request()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BackendError(f"OpenVINO cannot load the encoder: {reason}") from error
    return lambda batch: np.array(request.infer({0: batch})[0])


def _onnxruntime(model: bytes, backend: str) -> Any:
    if backend != "onnxruntime":
        raise BackendError(f"unknown backend {backend!r}", "choose openvino or onnxruntime")
    parsed = onnx.load_from_string(model)
    (name,) = (output.name for output in parsed.graph.output)
    peek = Peek(parsed, [name])
    return lambda batch: peek(batch)[name]
