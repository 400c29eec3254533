"""Models on TensorRT: engines that were built and proven on this device, on its GPU."""

from __future__ import annotations

import hashlib
import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.cuda import Cuda, open_cuda
from ostiary.edge.runtime.engines import EnginePlace
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.runner import Tensors

if TYPE_CHECKING:  # type stubs of 10.13: on the device the library itself is loaded by its name
    import tensorrt

log = logging.getLogger(__name__)


def load_tensorrt(name: str = "tensorrt") -> Any:
    """TensorRT's module. Raises ImportError if it is not installed or cannot be loaded."""
    try:
        trt = importlib.import_module(name)
    except OSError as error:  # a library that TensorRT needs is missing
        raise ImportError(f"{name} cannot be loaded: {error}") from error
    if not hasattr(trt, "Builder"):
        raise ImportError(f"{name} is a folder of type stubs, not the library")
    return trt


def make_logger(trt: Any) -> Any:
    """An ILogger that keeps what TensorRT would print: `errors()` and `warnings()`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.heard: list[tuple[str, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if severity.name not in ("VERBOSE", "INFO"):
                self.heard.append((severity.name, text))

        def warnings(self) -> list[str]:
            return [text for severity, text in self.heard if severity == "WARNING"]

        def errors(self) -> list[str]:
            return [text for severity, text in self.heard if severity != "WARNING"]

        def last(self) -> str:
            return (self.errors() or ["no reason given"])[-1]

    return Logger()


def place_of(trt: Any, cuda: Cuda) -> EnginePlace:
    """The place (library, driver and GPU) for which engines are built and checked here."""
    device = cuda.device
    return EnginePlace(f"{trt.__name__} {trt.__version__}", device.driver, device.sm, device.name)


class TensorRtBackend:
    """Opens the engines of a folder."""

    name = "tensorrt"
    runs_int8 = True

    def __init__(self, folder: Path) -> None:
        """Raises ImportError without TensorRT, BackendError without a driver or a GPU."""
        if folder.name == engines.TRYING:
            raise BackendError("TensorRT ended the process when it was last tried")
        self._folder = folder
        self.library = load_tensorrt()
        # Without a driver the runtime below would end the process; this call raises instead.
        self._cuda = open_cuda()
        self.place = place_of(self.library, self._cuda)
        self._logger = make_logger(self.library)
        try:
            self._runtime: tensorrt.Runtime = self.library.Runtime(self._logger)
        except (RuntimeError, TypeError) as error:  # the runtime did not start
            raise BackendError(
                f"TensorRT does not start: {self._logger.last()} ({error})"
            ) from error

    def load(self, file: Path, model: ModelEntry) -> TensorRtRunner:
        onnx = hashlib.sha256(file.read_bytes()).hexdigest()
        engine = engines.find(self._folder, onnx, self.place)
        return self.open(engine.plan, model, engine.header.fingerprint.precision)

    def open(self, plan: bytes, model: ModelEntry, precision: str) -> TensorRtRunner:
        """A runner of a serialised engine. Raises BackendError if TensorRT refuses it."""
        self._cuda.use()
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(
                f"TensorRT refuses the engine: {self._logger.last()}", engines.REBUILD
            )
        context = engine.create_execution_context()
        if context is None:
            raise BackendError(f"TensorRT has no memory for the engine: {self._logger.last()}")
        return TensorRtRunner(self.library, self._cuda, context, model, precision)


class TensorRtRunner:
    """One engine, its context, and memory that is allocated once."""

    def __init__(
        self,
        trt: Any,
        cuda: Cuda,
        context: tensorrt.IExecutionContext,
        model: ModelEntry,
        precision: str,
    ) -> None:
        self.precision = precision
        self._cuda, self._model = cuda, model
        self._context = context
        self.engine: tensorrt.ICudaEngine = context.engine
        self._lane = cuda.lane()
        self._host: dict[str, Floats] = {}
        self._address: dict[str, int] = {}
        self._check_names(trt)
        if not self._context.set_input_shape(model.input, model.spec.shape):
            raise BackendError(f"the engine refuses the input shape {model.spec.shape}")
        for name in (model.input, *model.outputs):
            self._place(trt, name)
        self._launch = self._queue
        self._warm_up()

    def _check_names(self, trt: Any) -> None:
        engine = self.engine
        names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        wanted = sorted((self._model.input, *self._model.outputs))
        if inputs != [self._model.input] or sorted(names) != wanted:
            raise BackendError(
                f"the engine has the tensors {', '.join(sorted(names))}, the manifest says"
                f" {', '.join(wanted)}",
                engines.REBUILD,
            )

    def _place(self, trt: Any, name: str) -> None:
        """Allocate a tensor on host and device; its shape is fixed from then on."""
        kind = self.engine.get_tensor_dtype(name)
        if kind != trt.DataType.FLOAT:
            raise BackendError(f"the engine's tensor {name} is {kind}, not float32")
        dims = self._context.get_tensor_shape(name)
        shape = tuple(int(dims[at]) for at in range(len(dims)))
        self._host[name] = host = self._lane.pinned(shape)
        host[...] = 0
        self._address[name] = self._lane.allocate(host.nbytes)
        self._context.set_tensor_address(name, self._address[name])

    def _warm_up(self) -> None:
        """Run once, since TensorRT allocates at its first run; then capture a run as a graph."""
        self._queue()
        self._lane.wait()
        try:
            captured = self._lane.capture(self._queue)
        except BackendError as error:
            log.info("no CUDA graph of %s: %s", self._model.file, error.message)
            return
        if captured is not None:
            self._launch = captured

    def _queue(self) -> None:
        taken = self._model.input
        self._lane.to_device(self._address[taken], self._host[taken])
        if not self._context.execute_async_v3(self._lane.handle):
            raise BackendError(f"TensorRT cannot run {self._model.file}")
        for name in self._model.outputs:
            self._lane.to_host(self._host[name], self._address[name])

    def infer(self, inputs: Tensors) -> Tensors:
        # The caller's thread may differ from the thread that loaded the model.
        self._cuda.use()
        taken = self._model.input
        given = inputs[taken]
        if given.shape != self._host[taken].shape:
            raise ValueError(f"expected {self._host[taken].shape}, got {given.shape}")
        np.copyto(self._host[taken], given)
        self._launch()
        self._lane.wait()
        return {name: self._host[name].copy() for name in self._model.outputs}

    def close(self) -> None:
        self._cuda.use()
        # The order matters: a context must not outlive its engine or its memory.
        self._launch = self._queue
        del self._context, self.engine
        self._host = {}
        self._lane.close()
