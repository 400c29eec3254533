"""The memory and the contexts of the simulated GPU; `fake_gpu` has its streams."""

import ctypes
import threading
from collections import Counter

PRIMARY = 0xC0DE00


class Refused(Exception):
    """A driver's error, named as in CUresult but without CUDA_ERROR_."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class WouldSegfaultError(BaseException):
    """The real library would have ended the process here; our code must not catch this."""


class WouldAbortError(BaseException):
    """The real library would have aborted the process here."""


class Memory:
    """The memory of one device. `made` counts all objects ever made."""

    def __init__(
        self,
        sm: tuple[int, int] = (8, 7),
        name: str = "Orin",
        driver: int = 12060,
        memory: int = 8 << 30,
        devices: int = 1,
        libcuda: bool = True,
    ) -> None:
        """`devices` 0: a driver without a GPU. Without `libcuda` there is no driver either."""
        self.sm, self.name, self.driver, self.memory = sm, name, driver, memory
        self.devices, self.libcuda = devices, libcuda
        self.initialised, self.retained, self.broken = False, 0, ""
        self.made: Counter[str] = Counter()
        self.device: dict[int, bytearray] = {}
        self.host: dict[int, tuple[int, object]] = {}
        self._freed: list[object] = []
        self._threads = threading.local()
        self._next = 0x7000_0000

    def init(self) -> None:
        if not self.devices:
            raise Refused("NO_DEVICE")
        self.initialised = True

    def check(self) -> None:
        """Check what every call but the first needs: an initialised driver."""
        if not self.initialised:
            raise Refused("NOT_INITIALIZED")
        if self.broken:
            raise Refused(self.broken)

    def enter(self) -> None:
        """Check what a call in a context needs: a context that is current in this thread."""
        self.check()
        if not self.contexts or not self.retained:
            raise Refused("INVALID_CONTEXT")

    @property
    def contexts(self) -> list[int]:
        """This thread's stack of contexts."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        stack: list[int] = self._threads.stack
        return stack

    def retain(self) -> int:
        self.check()
        self.retained += 1
        return PRIMARY

    def release(self) -> None:
        self.check()
        if not self.retained:
            raise Refused("INVALID_CONTEXT")
        self.retained -= 1
        if not self.retained:
            self._forget()

    def push(self, context: int) -> None:
        self.check()
        if context != PRIMARY or not self.retained:
            raise Refused("INVALID_CONTEXT")
        self.contexts.append(context)

    def pop(self) -> int:
        self.check()
        if not self.contexts:
            raise Refused("INVALID_CONTEXT")
        return self.contexts.pop()

    def set_current(self, context: int) -> None:
        self.check()
        if self.contexts:
            self.contexts.pop()
        if context:
            self.push(context)

    def _handle(self, kind: str, step: int = 1) -> int:
        self.made[kind] += 1
        self._next += -(-step // 512) * 512 + 512
        return self._next

    def allocate(self, size: int) -> int:
        self.enter()
        self._forbid_while_capturing()
        if size <= 0:
            raise Refused("INVALID_VALUE")
        if size + sum(map(len, self.device.values())) > self.memory:
            raise Refused("OUT_OF_MEMORY")
        address = self._handle("device") + (1 << 40)
        self._next += size
        self.device[address] = bytearray(b"\xff" * size)
        return address

    def free(self, address: int) -> None:
        self.enter()
        self._forbid_while_capturing()
        if address not in self.device:
            raise Refused("INVALID_VALUE")
        self._settle()
        del self.device[address]

    def host_allocate(self, size: int, keep: bool = True) -> ctypes.Array[ctypes.c_char]:
        """Page-locked memory; unless it is kept here, it lives as long as the caller holds it."""
        self.enter()
        self._forbid_while_capturing()
        if size <= 0:
            raise Refused("INVALID_VALUE")
        self.made["host"] += 1
        memory = (ctypes.c_char * size)()
        self.host[ctypes.addressof(memory)] = (size, memory if keep else None)
        return memory

    def host_free(self, address: int) -> None:
        self.enter()
        if address not in self.host:
            raise Refused("INVALID_VALUE")
        size, memory = self.host.pop(address)
        if memory is not None:
            # Code that still reads the memory sees NaN and not an old answer.
            ctypes.memset(address, 0xFF, size)
            self._freed.append(memory)

    def spot(self, address: int, size: int) -> tuple[bytearray, int]:
        """The memory behind an address of the device, and the offset in it."""
        for base, memory in self.device.items():
            if base <= address and address + size <= base + len(memory):
                return memory, address - base
        raise Refused("INVALID_VALUE")

    def read(self, address: int, size: int) -> bytes:
        memory, start = self.spot(address, size)
        return bytes(memory[start : start + size])

    def write(self, address: int, data: bytes) -> None:
        memory, start = self.spot(address, len(data))
        memory[start : start + len(data)] = data

    def _settle(self) -> None:
        """Wait for all streams."""

    def _forget(self) -> None:
        """Destroy the primary context and everything in it."""
        self.device.clear()

    def _forbid_while_capturing(self) -> None:
        """Invalidate captures, as some calls do."""
