"""A TCP proxy that counts the bytes that go through it."""

from __future__ import annotations

import contextlib
import socket
import threading

from bench.roster.operator import HERE

CHUNK = 1 << 16


class Proxy:
    """Listens on `port` and forwards to another local port. Counts bytes: `up`, `down`, and in
    `last` both directions since the newest connection was made."""

    def __init__(self, towards: int) -> None:
        self._towards = towards
        self._listener = socket.create_server((HERE, 0))
        self.port = int(self._listener.getsockname()[1])
        self.up = self.down = 0
        self.last = 0
        self._lock = threading.Lock()
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def both(self) -> int:
        """Bytes in both directions."""
        with self._lock:
            return self.up + self.down

    def start_over(self) -> None:
        with self._lock:
            self.up = self.down = 0

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._pairs]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                device, _ = self._listener.accept()
                self.last = 0
                broker = socket.create_connection((HERE, self._towards))
                self._pairs += [device, broker]
                for each in (device, broker):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(
                    target=self._pass, args=(device, broker, True), daemon=True
                ).start()
                threading.Thread(
                    target=self._pass, args=(broker, device, False), daemon=True
                ).start()

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                with self._lock:
                    self.up += len(chunk) if up else 0
                    self.down += 0 if up else len(chunk)
                    self.last += len(chunk)
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
