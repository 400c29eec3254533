"""A simulated GPU: streams, graphs and memory that refuse what a driver refuses.

It is stricter than a driver in one thing: hosts' memory must be page-locked to be copied.
"""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.tensorrt.fake_memory import Memory, Refused

Work = Callable[[], None]
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2


@dataclass
class Stream:
    """Queued work, done when somebody waits for it; during a capture work is only recorded."""

    queue: list[Work] = field(default_factory=list)
    noted: list[Work] | None = None
    mode: int = GLOBAL
    thread: int = 0
    spoilt: bool = False


class Gpu(Memory):
    """One device. `made` counts all objects ever made, `live()` those that still exist."""

    def __init__(self, **what: Any) -> None:
        super().__init__(**what)
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.ready: dict[int, list[Work]] = {}
        self.events: dict[int, int] = {}
        self._tick = 0

    def live(self) -> dict[str, int]:
        kinds = ("device", "host", "streams", "graphs", "ready", "events")
        return {kind: len(getattr(self, kind)) for kind in kinds if getattr(self, kind)}

    def copy(self, handle: int, address: int, host: int, size: int, to_device: bool) -> None:
        """Queue a copy."""
        self.enter()
        self.spot(address, size)
        if not any(at <= host and host + size <= at + n for at, (n, _) in self.host.items()):
            raise Refused("INVALID_VALUE")
        self.made["copy"] += 1

        def work() -> None:
            if to_device:
                self.write(address, ctypes.string_at(host, size))
            else:
                ctypes.memmove(host, self.read(address, size), size)

        self.enqueue(handle, work)

    def create_stream(self) -> int:
        self.enter()
        handle = self._handle("stream")
        self.streams[handle] = Stream()
        return handle

    def stream(self, handle: int) -> Stream:
        if not handle:
            return self.streams.setdefault(0, Stream())
        if handle not in self.streams:
            raise Refused("INVALID_HANDLE")
        return self.streams[handle]

    def destroy_stream(self, handle: int) -> None:
        self.enter()
        self.stream(handle)
        self.run(handle)
        del self.streams[handle]

    def enqueue(self, handle: int, work: Work) -> None:
        self.enter()
        stream = self.stream(handle)
        (stream.queue if stream.noted is None else stream.noted).append(work)

    def synchronise(self, handle: int) -> None:
        self.enter()
        stream = self.stream(handle)
        if stream.noted is not None:
            stream.spoilt = True
            raise Refused("STREAM_CAPTURE_UNSUPPORTED")
        self.made["wait"] += 1
        self.run(handle)

    def run(self, handle: int) -> None:
        stream = self.stream(handle)
        while stream.queue:
            try:
                stream.queue.pop(0)()
            except Refused:
                self.broken = "ILLEGAL_ADDRESS"
                raise Refused(self.broken) from None

    def _forbid_while_capturing(self) -> None:
        mine = threading.get_ident()
        for stream in self.streams.values():
            # A thread-local capture allows calls of other threads; a relaxed one allows all calls.
            minds = (GLOBAL, THREAD_LOCAL) if stream.thread == mine else (GLOBAL,)
            if stream.noted is not None and stream.mode in minds:
                stream.spoilt = True
                raise Refused("STREAM_CAPTURE_UNSUPPORTED")

    def begin_capture(self, handle: int, mode: int) -> None:
        self.enter()
        stream = self.stream(handle)
        if not handle:
            raise Refused("STREAM_CAPTURE_UNSUPPORTED")
        if stream.noted is not None:
            raise Refused("ILLEGAL_STATE")
        stream.noted, stream.mode, stream.spoilt = [], mode, False
        stream.thread = threading.get_ident()

    def end_capture(self, handle: int) -> int:
        self.enter()
        stream = self.stream(handle)
        if stream.noted is None:
            raise Refused("ILLEGAL_STATE")
        if stream.mode != RELAXED and stream.thread != threading.get_ident():
            raise Refused("STREAM_CAPTURE_WRONG_THREAD")
        noted, stream.noted = stream.noted, None
        if stream.spoilt:
            raise Refused("STREAM_CAPTURE_INVALIDATED")
        graph = self._handle("graph")
        self.graphs[graph] = noted
        return graph

    def instantiate(self, graph: int) -> int:
        self.enter()
        if graph not in self.graphs:
            raise Refused("INVALID_VALUE")
        ready = self._handle("ready")
        self.ready[ready] = list(self.graphs[graph])
        return ready

    def launch(self, ready: int, handle: int) -> None:
        self.enter()
        if ready not in self.ready:
            raise Refused("INVALID_VALUE")
        self.made["launch"] += 1
        for work in self.ready[ready]:
            self.enqueue(handle, work)

    def drop(self, kind: dict[int, list[Work]] | dict[int, int], handle: int) -> None:
        self.enter()
        if kind.pop(handle, None) is None:
            raise Refused("INVALID_VALUE")

    def create_event(self) -> int:
        self.enter()
        event = self._handle("event")
        self.events[event] = 0
        return event

    def record(self, event: int, handle: int) -> None:
        if event not in self.events:
            raise Refused("INVALID_HANDLE")
        self.enqueue(handle, lambda: self._stamp(event))

    def _stamp(self, event: int) -> None:
        self._tick += 1
        self.events[event] = self._tick

    def wait_event(self, event: int) -> None:
        self.enter()
        if event not in self.events:
            raise Refused("INVALID_HANDLE")
        self._settle()

    def _settle(self) -> None:
        for handle in [h for h, stream in self.streams.items() if stream.noted is None]:
            self.run(handle)

    def _forget(self) -> None:
        super()._forget()
        for kind in (self.streams, self.graphs, self.ready, self.events):
            kind.clear()
