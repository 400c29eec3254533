"""A fake pycuda.driver over the simulated GPU, with a stack of contexts for each thread."""

import ctypes
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from tests.support.tensorrt.fake_gpu import Gpu
from tests.support.tensorrt.fake_memory import Refused, WouldAbortError


class Error(Exception):
    """The base class of pycuda's errors."""


class MemoryError(Error):  # noqa: A001 -- its name in pycuda
    pass


class LogicError(Error):
    pass


class LaunchError(Error):
    pass


class RuntimeError(Error):  # noqa: A001 -- its name in pycuda
    pass


ERRORS = (Error, MemoryError, LogicError, LaunchError, RuntimeError)
KINDS = {
    "OUT_OF_MEMORY": MemoryError,
    "ILLEGAL_ADDRESS": LogicError,
    "NO_DEVICE": RuntimeError,
    "NOT_READY": RuntimeError,
}


@contextmanager
def calling(routine: str) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise KINDS.get(error.code, LogicError)(f"{routine} failed: {error.code}") from None


class Stack(list["Context"]):
    """A thread's contexts. pycuda aborts the process if one is left when the thread ends."""

    def __init__(self, aborts: list[str]) -> None:
        super().__init__()
        self._aborts, self._thread = aborts, threading.current_thread().name

    def __del__(self) -> None:
        if self:
            self._aborts.append(self._thread)


class State:
    """The state that the classes below share: the GPU, and the stacks."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.aborts: list[str] = []
        self._threads = threading.local()

    @property
    def stack(self) -> Stack:
        if not hasattr(self._threads, "stack"):
            self._threads.stack = Stack(self.aborts)
        found: Stack = self._threads.stack
        return found

    def current(self) -> "Context":
        if not self.stack:
            raise LogicError("explicit_context_dependent failed: no currently active context?")
        return self.stack[-1]

    def leave(self) -> None:
        """What pycuda does at the end of the process, or of a thread. Raises WouldAbortError."""
        left = [*self.aborts, *(["this thread"] if self.stack else [])]
        if left:
            raise WouldAbortError(f"the context stack was not empty: {', '.join(left)}")


class Device:
    _state: State

    def __init__(self, number: int) -> None:
        with calling("cuDeviceGet"):
            self._state.gpu.check()
            if not 0 <= number < self._state.gpu.devices:
                raise Refused("INVALID_DEVICE")

    def name(self) -> str:
        return self._state.gpu.name

    def compute_capability(self) -> tuple[int, int]:
        return self._state.gpu.sm

    def total_memory(self) -> int:
        return self._state.gpu.memory

    def retain_primary_context(self) -> Any:
        with calling("cuDevicePrimaryCtxRetain"):
            return self._state.context(self._state.gpu.retain())  # type: ignore[attr-defined]


class Context:
    _state: State

    def __init__(self, handle: int) -> None:
        self.handle, self._valid, self._thread = handle, True, threading.get_ident()

    def push(self) -> None:
        with calling("cuCtxPushCurrent"):
            if self._state.stack:
                self._state.gpu.pop()
            self._state.gpu.push(self.handle)
        self._state.stack.append(self)

    @classmethod
    def pop(cls) -> None:
        with calling("context::pop"):
            if not cls._state.stack:
                raise Refused("INVALID_CONTEXT")
            cls._state.gpu.pop()
            cls._state.stack.pop()
            if cls._state.stack:
                cls._state.gpu.push(cls._state.stack[-1].handle)

    @classmethod
    def get_current(cls) -> "Context | None":
        return cls._state.stack[-1] if cls._state.stack else None

    def detach(self) -> None:
        with calling("context::detach"):
            if not self._valid:
                raise Refused("INVALID_CONTEXT")
            self._valid = False
            self._state.gpu.release()

    def __del__(self) -> None:
        if self._valid:
            self.detach()


class Owned:
    """An object that belongs to the context that was current when it was made."""

    _state: State
    _home: Context | None = None

    def __init__(self) -> None:
        self._home = self._state.current()

    @contextmanager
    def _at_home(self) -> Iterator[bool]:
        """Run in the object's own context, if possible: only the thread that made it may enter."""
        if self._home is None or not self._home._valid:
            yield False
        elif self._state.stack and self._state.stack[-1] is self._home:
            yield True
        elif self._home._thread != threading.get_ident():
            warnings.warn("out-of-thread context could not be cleaned up", stacklevel=2)
            yield False
        else:
            self._home.push()
            yield True
            self._home.pop()


class Stream(Owned):
    handle = 0

    def __init__(self, flags: int = 0) -> None:
        super().__init__()
        with calling("cuStreamCreate"):
            self.handle = self._state.gpu.create_stream()

    def synchronize(self) -> None:
        with calling("cuStreamSynchronize"):
            self._state.gpu.synchronise(self.handle)

    def is_done(self) -> bool:
        return not self._state.gpu.stream(self.handle).queue

    def __del__(self) -> None:
        with self._at_home() as here:
            if here and self.handle in self._state.gpu.streams:
                self._state.gpu.destroy_stream(self.handle)


class Event(Owned):
    _handle = 0

    def __init__(self, flags: int = 0) -> None:
        super().__init__()
        with calling("cuEventCreate"):
            self._handle = self._state.gpu.create_event()

    def record(self, stream: Stream | None = None) -> "Event":
        with calling("cuEventRecord"):
            self._state.gpu.record(self._handle, stream.handle if stream else 0)
        return self

    def synchronize(self) -> "Event":
        with calling("cuEventSynchronize"):
            self._state.gpu.wait_event(self._handle)
        return self

    def __del__(self) -> None:
        self._state.gpu.events.pop(self._handle, None)


class DeviceAllocation(Owned):
    _address = 0

    def __init__(self, size: int) -> None:
        super().__init__()
        with calling("cuMemAlloc"):
            self._address = self._state.gpu.allocate(size)

    def free(self) -> None:
        with calling("device_allocation::free"):
            if not self._address:
                raise Refused("INVALID_HANDLE")
            with self._at_home() as here:
                if here:
                    self._state.gpu.free(self._address)
            self._address = 0

    def __int__(self) -> int:
        return self._address

    __index__ = __int__

    def __del__(self) -> None:
        if self._address:
            self.free()


class Functions:
    """The module's functions, with pycuda's parameters."""

    def __init__(self, state: State) -> None:
        self._state, self._gpu = state, state.gpu

    def init(self, flags: int = 0) -> None:
        with calling("cuInit"):
            self._gpu.init()

    def get_driver_version(self) -> int:
        return self._gpu.driver

    def pagelocked_empty(
        self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0
    ) -> np.ndarray:
        self._state.current()
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with calling("cuMemHostAlloc"):
            memory = self._gpu.host_allocate(size, keep=False)
        weakref.finalize(memory, self._gpu.host.pop, ctypes.addressof(memory), None)
        return np.ndarray(shape, dtype, memoryview(memory))

    def memcpy_htod_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        self._copy("cuMemcpyHtoDAsync", dest, src, stream, to_device=True)

    def memcpy_dtoh_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        self._copy("cuMemcpyDtoHAsync", src, dest, stream, to_device=False)

    def _copy(self, routine: str, device: Any, host: Any, stream: Any, to_device: bool) -> None:
        assert host.flags.c_contiguous
        handle = stream.handle if stream is not None else 0
        with calling(routine):
            self._gpu.copy(handle, int(device), host.ctypes.data, host.nbytes, to_device)


def pycuda_module(gpu: Gpu) -> ModuleType:
    """`module.state_.leave()` says whether the process could end now."""
    made = ModuleType("pycuda.driver")
    module: Any = made
    state = module.state_ = State(gpu)
    for kind in (Device, Context, Stream, Event, DeviceAllocation):
        setattr(module, kind.__name__, type(kind.__name__, (kind,), {"_state": state}))
    state.context, module.mem_alloc = module.Context, module.DeviceAllocation  # type: ignore[attr-defined]
    for error in ERRORS:
        setattr(module, error.__name__, error)
    functions = Functions(state)
    for name in (n for n in vars(Functions) if not n.startswith("_")):
        setattr(module, name, getattr(functions, name))
    return made
