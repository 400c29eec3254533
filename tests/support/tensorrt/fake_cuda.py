"""A fake cuda.bindings.driver over the simulated GPU of `fake_gpu`, as `fake_pycuda` is."""

# ruff: noqa: N802, N803 -- the names are CUDA's

import ctypes
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.support.tensorrt.fake_gpu import Gpu
from tests.support.tensorrt.fake_memory import Refused
from tests.support.tensorrt.fake_pycuda import pycuda_module

CUDA_PYTHON, PYCUDA = "cuda.bindings.driver", "pycuda.driver"
KINDS = (
    "CUresult CUstream CUcontext CUdevice CUdeviceptr CUgraph CUgraphExec CUevent CUstream_flags"
    " CUevent_flags CUdevice_attribute CUstreamCaptureMode CUstreamCaptureStatus"
    " CU_MEMHOSTALLOC_PORTABLE CU_MEMHOSTALLOC_DEVICEMAP CU_MEMHOSTALLOC_WRITECOMBINED"
)
"""Names that the fake copies unchanged from the real module."""


def modules(gpu: Gpu, binding: str = CUDA_PYTHON) -> dict[str, ModuleType | None]:
    """The entries of `sys.modules` if one of the bindings is installed and the other is not."""
    if binding == PYCUDA:
        return {CUDA_PYTHON: None, PYCUDA: pycuda_module(gpu) if gpu.libcuda else None}
    return {CUDA_PYTHON: cuda_python_module(gpu), PYCUDA: None}


def cuda_python_module(gpu: Gpu) -> ModuleType:
    from cuda.bindings import driver as real

    module = ModuleType(CUDA_PYTHON)
    for name in KINDS.split():
        setattr(module, name, getattr(real, name))
    driver = CudaPython(gpu, real)
    for name in vars(CudaPython):
        if name.startswith("cu"):
            setattr(module, name, getattr(driver, name))
    return module


def answers(kind: str = "", values: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The status, followed by the given number of values, which are None if the call failed."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(self: "CudaPython", *given: Any) -> tuple[Any, ...]:
            if not self._gpu.libcuda:
                raise RuntimeError('"cuda" is an NVIDIA driver library; it cannot be found')
            try:
                found = function(self, *given)
            except Refused as error:
                status = getattr(self._real.CUresult, f"CUDA_ERROR_{error.code}")
                return (status, *[None] * values)
            made = getattr(self._real, kind)(found) if kind else found
            several = made if values > 1 else (made,) * values
            return (self._real.CUresult.CUDA_SUCCESS, *several)

        return call

    return wrap


nothing = answers(values=0)


class CudaPython:
    """The module's functions, each with the parameters of the real one, in the same order."""

    def __init__(self, gpu: Gpu, real: Any) -> None:
        self._gpu, self._real = gpu, real

    @nothing
    def cuInit(self, Flags: int) -> None:
        self._gpu.init()

    @answers()
    def cuDriverGetVersion(self) -> int:
        return self._gpu.driver

    @answers()
    def cuDeviceGetCount(self) -> int:
        self._gpu.check()
        return self._gpu.devices

    @answers("CUdevice")
    def cuDeviceGet(self, ordinal: int) -> int:
        self._gpu.check()
        if not 0 <= ordinal < self._gpu.devices:
            raise Refused("INVALID_DEVICE")
        return ordinal

    @answers()
    def cuDeviceGetName(self, length: int, dev: Any) -> bytes:
        self._gpu.check()
        return self._gpu.name.encode().ljust(length, b"\0")

    @answers()
    def cuDeviceGetAttribute(self, attrib: Any, dev: Any) -> int:
        self._gpu.check()
        parts = ("COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR")
        return self._gpu.sm[parts.index(attrib.name.removeprefix("CU_DEVICE_ATTRIBUTE_"))]

    @answers()
    def cuDeviceTotalMem(self, dev: Any) -> int:
        self._gpu.check()
        return self._gpu.memory

    @answers("CUcontext")
    def cuDevicePrimaryCtxRetain(self, dev: Any) -> int:
        return self._gpu.retain()

    @nothing
    def cuDevicePrimaryCtxRelease(self, dev: Any) -> None:
        self._gpu.release()

    @nothing
    def cuCtxSetCurrent(self, ctx: Any) -> None:
        self._gpu.set_current(int(ctx))

    @answers("CUcontext")
    def cuCtxGetCurrent(self) -> int:
        self._gpu.check()
        return self._gpu.contexts[-1] if self._gpu.contexts else 0

    @nothing
    def cuCtxPushCurrent(self, ctx: Any) -> None:
        self._gpu.push(int(ctx))

    @answers("CUcontext")
    def cuCtxPopCurrent(self) -> int:
        return self._gpu.pop()

    @answers("CUdeviceptr")
    def cuMemAlloc(self, bytesize: int) -> int:
        return self._gpu.allocate(bytesize)

    @nothing
    def cuMemFree(self, dptr: Any) -> None:
        self._gpu.free(int(dptr))

    @answers(values=2)
    def cuMemGetInfo(self) -> tuple[int, int]:
        self._gpu.enter()
        return self._gpu.memory - sum(map(len, self._gpu.device.values())), self._gpu.memory

    @answers()
    def cuMemHostAlloc(self, bytesize: int, Flags: int) -> int:
        return ctypes.addressof(self._gpu.host_allocate(bytesize))

    @answers()
    def cuMemAllocHost(self, bytesize: int) -> int:
        return ctypes.addressof(self._gpu.host_allocate(bytesize))

    @nothing
    def cuMemFreeHost(self, p: Any) -> None:
        self._gpu.host_free(int(p))

    @nothing
    def cuMemcpyHtoDAsync(self, dstDevice: Any, srcHost: Any, ByteCount: int, hStream: Any) -> None:
        self._gpu.copy(int(hStream), int(dstDevice), int(srcHost), ByteCount, to_device=True)

    @nothing
    def cuMemcpyDtoHAsync(self, dstHost: Any, srcDevice: Any, ByteCount: int, hStream: Any) -> None:
        self._gpu.copy(int(hStream), int(srcDevice), int(dstHost), ByteCount, to_device=False)

    @answers("CUstream")
    def cuStreamCreate(self, Flags: int) -> int:
        return self._gpu.create_stream()

    @nothing
    def cuStreamSynchronize(self, hStream: Any) -> None:
        self._gpu.synchronise(int(hStream))

    @nothing
    def cuStreamDestroy(self, hStream: Any) -> None:
        self._gpu.destroy_stream(int(hStream))

    @nothing
    def cuStreamBeginCapture(self, hStream: Any, mode: Any) -> None:
        self._gpu.begin_capture(int(hStream), int(mode))

    @answers("CUgraph")
    def cuStreamEndCapture(self, hStream: Any) -> int:
        return self._gpu.end_capture(int(hStream))

    @answers("CUgraphExec")
    def cuGraphInstantiate(self, hGraph: Any, flags: int) -> int:
        return self._gpu.instantiate(int(hGraph))

    @nothing
    def cuGraphLaunch(self, hGraphExec: Any, hStream: Any) -> None:
        self._gpu.launch(int(hGraphExec), int(hStream))

    @nothing
    def cuGraphExecDestroy(self, hGraphExec: Any) -> None:
        self._gpu.drop(self._gpu.ready, int(hGraphExec))

    @nothing
    def cuGraphDestroy(self, hGraph: Any) -> None:
        self._gpu.drop(self._gpu.graphs, int(hGraph))

    @answers("CUevent")
    def cuEventCreate(self, Flags: int) -> int:
        return self._gpu.create_event()

    @nothing
    def cuEventRecord(self, hEvent: Any, hStream: Any) -> None:
        self._gpu.record(int(hEvent), int(hStream))

    @nothing
    def cuEventSynchronize(self, hEvent: Any) -> None:
        self._gpu.wait_event(int(hEvent))

    @answers()
    def cuEventElapsedTime(self, hStart: Any, hEnd: Any) -> float:
        start, end = (self._gpu.events.get(int(event), 0) for event in (hStart, hEnd))
        if not start or not end:
            raise Refused("NOT_READY")
        return float(end - start)

    @nothing
    def cuEventDestroy(self, hEvent: Any) -> None:
        self._gpu.drop(self._gpu.events, int(hEvent))
