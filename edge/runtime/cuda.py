"""All CUDA calls, through cuda-python or pycuda; cuda-python is preferred, since it captures
graphs."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError

BINDINGS = "pip install 'ostiary[jetson]' (pycuda) or 'ostiary[jetson-wheels]' (cuda-python)"
DRIVER = "install NVIDIA's driver, or JetPack"
_NAME_BYTES = 256
Work = Callable[[], None]


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """The GPU and its driver; `driver` is the newest CUDA that the driver supports, as 12.6."""

    name: str
    sm: str
    driver: str
    memory_bytes: int


class Lane(Protocol):
    """A stream and the memory of one model. Every method raises BackendError if it fails."""

    handle: int
    """The stream's handle for TensorRT; never the default stream, which cannot be captured."""

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        """Page-locked float32 memory of the host, which the GPU copies without the processor."""
        ...

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes on the device and return their address."""
        ...

    def to_device(self, address: int, host: Floats) -> None:
        """Queue a copy from pinned memory."""
        ...

    def to_host(self, host: Floats, address: int) -> None:
        """Queue a copy to pinned memory, where the data is after `wait`."""
        ...

    def wait(self) -> None:
        """Block until all queued work is done."""
        ...

    def capture(self, work: Work) -> Work | None:
        """A function that queues all of `work` at once; None if the binding cannot capture."""
        ...

    def close(self) -> None:
        """Free the memory; arrays from `pinned` must not be used afterwards."""
        ...


class Cuda(Protocol):
    """One device's primary context."""

    binding: str
    device: GpuDevice

    def use(self) -> None:
        """Make the context current in this thread; needed before any call here or of TensorRT."""
        ...

    def lane(self) -> Lane:
        """A new stream."""
        ...


def open_cuda() -> Cuda:
    """The first device, through whichever binding is installed.

    Raises BackendError if there is no binding, no driver or no device. Call this before anything
    of TensorRT, whose runtime ends the process if there is no driver.
    """
    missing = []
    for module, binding in (("cuda.bindings.driver", CudaPython), ("pycuda.driver", PyCuda)):
        try:
            driver = importlib.import_module(module)
        except (ImportError, OSError) as error:
            missing.append(f"{module}: {error}")
            continue
        return binding(driver)
    raise BackendError(f"no CUDA binding can be loaded ({'; '.join(missing)})", BINDINGS)


class CudaPython:
    """CUDA's driver through NVIDIA's own cuda-python."""

    binding = "cuda-python"

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        try:
            _value(driver.cuInit(0))
            number = _value(driver.cuDeviceGet(0))
            self._context = _value(driver.cuDevicePrimaryCtxRetain(number))
            self.device = self._describe(number)
            self.use()
        except RuntimeError as error:  # cuda-python finds no libcuda, or an old one
            raise BackendError(f"no CUDA driver: {error}", DRIVER) from None

    def _describe(self, number: Any) -> GpuDevice:
        driver = self._driver
        attribute = driver.CUdevice_attribute
        major, minor = (
            _value(driver.cuDeviceGetAttribute(which, number))
            for which in (
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        name = _value(driver.cuDeviceGetName(_NAME_BYTES, number)).split(b"\0")[0].decode()
        version = _version(_value(driver.cuDriverGetVersion()))
        return GpuDevice(
            name, f"sm_{major}{minor}", version, _value(driver.cuDeviceTotalMem(number))
        )

    def use(self) -> None:
        _value(self._driver.cuCtxSetCurrent(self._context))

    def lane(self) -> Lane:
        return _CudaPythonLane(self._driver)


class _CudaPythonLane:
    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._host: list[int] = []
        self._memory: list[int] = []
        self._graphs: list[Any] = []
        self._stream = _value(
            driver.cuStreamCreate(int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        )
        self.handle = int(self._stream)

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        count = math.prod(shape)
        address = int(_value(self._driver.cuMemHostAlloc(count * 4, 0)))
        self._host.append(address)
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address)).reshape(shape)

    def allocate(self, size: int) -> int:
        address = int(_value(self._driver.cuMemAlloc(size)))
        self._memory.append(address)
        return address

    def to_device(self, address: int, host: Floats) -> None:
        copy = self._driver.cuMemcpyHtoDAsync
        _value(copy(address, host.ctypes.data, host.nbytes, self._stream))

    def to_host(self, host: Floats, address: int) -> None:
        copy = self._driver.cuMemcpyDtoHAsync
        _value(copy(host.ctypes.data, address, host.nbytes, self._stream))

    def wait(self) -> None:
        _value(self._driver.cuStreamSynchronize(self._stream))

    def capture(self, work: Work) -> Work | None:
        driver = self._driver
        # Relaxed: another library of the process may call CUDA meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        _value(driver.cuStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            # End the capture even if the work failed: otherwise the stream could not be used again.
            ended = driver.cuStreamEndCapture(self._stream)
        graph = _value(ended)
        ready = _value(driver.cuGraphInstantiate(graph, 0))
        _value(driver.cuGraphDestroy(graph))
        self._graphs.append(ready)
        return lambda: _value(driver.cuGraphLaunch(ready, self._stream))

    def close(self) -> None:
        driver = self._driver
        for graph in self._graphs:
            _value(driver.cuGraphExecDestroy(graph))
        for address in self._memory:
            _value(driver.cuMemFree(address))
        for address in self._host:
            _value(driver.cuMemFreeHost(address))
        _value(driver.cuStreamDestroy(self._stream))
        self._graphs, self._memory, self._host = [], [], []


def _value(answer: tuple[Any, ...]) -> Any:
    """The value in cuda-python's answer (status, value). Raises BackendError for a bad status."""
    status, *values = answer
    if int(status) != 0:
        raise BackendError(f"CUDA refuses: {getattr(status, 'name', status)}")
    return values[0] if values else None


class PyCuda:
    """CUDA's driver through pycuda, which has no graphs."""

    binding = "pycuda"

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        try:
            driver.init()
            own = driver.Device(0)
            self._context = own.retain_primary_context()
        except driver.Error as error:
            raise BackendError(f"no CUDA device: {error}", DRIVER) from None
        major, minor = own.compute_capability()
        version = _version(driver.get_driver_version())
        self.device = GpuDevice(own.name(), f"sm_{major}{minor}", version, own.total_memory())
        self.use()

    def use(self) -> None:
        if self._driver.Context.get_current() == self._context:
            return
        # pycuda ends the process if a thread ends with a context left on its stack.
        if threading.current_thread() is not threading.main_thread():
            raise BackendError("pycuda works in the main thread only", BINDINGS)
        self._context.push()
        atexit.register(self._driver.Context.pop)

    def lane(self) -> Lane:
        return _PyCudaLane(self._driver)


class _PyCudaLane:
    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._memory: list[Any] = []
        self._stream = self._call(driver.Stream)
        self.handle = int(self._stream.handle)

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        memory: Floats = self._call(self._driver.pagelocked_empty, shape, np.float32)
        return memory

    def allocate(self, size: int) -> int:
        own = self._call(self._driver.mem_alloc, size)
        self._memory.append(own)
        return int(own)

    def to_device(self, address: int, host: Floats) -> None:
        self._call(self._driver.memcpy_htod_async, address, host, self._stream)

    def to_host(self, host: Floats, address: int) -> None:
        self._call(self._driver.memcpy_dtoh_async, host, address, self._stream)

    def wait(self) -> None:
        self._call(self._stream.synchronize)

    def capture(self, work: Work) -> Work | None:
        return None

    def close(self) -> None:
        for own in self._memory:
            self._call(own.free)
        self._memory = []
        # pycuda frees a stream with its object, in the context that is current then.
        self._stream = None

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._driver.Error as error:
            raise BackendError(f"CUDA refuses: {error}") from error


def _version(number: int) -> str:
    """A CUDA version as text: 12060 is 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"
