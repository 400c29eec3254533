"""A wire to a broker that breaks when told, in the middle of whatever it carries."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

CHUNK = 1024


class CuttingProxy:
    """Listens on `port` and carries bytes to and from the broker.

    Each of `cuts` is after how many bytes, both ways together, the next connection breaks; later
    connections hold. What is said to the broker while `mute` is lost, to the connection's end.
    """

    def __init__(self, broker_port: int, cuts: list[int]) -> None:
        self._broker_port, self._cuts = broker_port, list(cuts)
        self.connections = 0
        self.mute = False
        self._near: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._stop, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def left(self) -> int:
        """How many cuts are still to come."""
        return len(self._cuts)

    def cut(self) -> None:
        """Break the connection that is."""
        assert self._near is not None
        self._near.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        self._stop.close()
        self._listener.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as watched:
            watched.register(self._listener, selectors.EVENT_READ)
            watched.register(self._stop, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in watched.select()]
                if self._stop in ready:
                    return
                with self._pair() as (near, far):
                    if not self._carry(near, far):
                        return

    @contextlib.contextmanager
    def _pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        self._near = near = self._listener.accept()[0]
        self.mute = False
        self.connections += 1
        with near, socket.socket() as far:
            with contextlib.suppress(OSError):
                far.connect(("127.0.0.1", self._broker_port))
            yield near, far

    def _carry(self, near: socket.socket, far: socket.socket) -> bool:
        """Until the wire breaks; False where it was told to stop."""
        room = self._cuts[0] if self._cuts else None
        with selectors.DefaultSelector() as watched:
            for each in (near, far, self._stop):
                watched.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in watched.select():
                    if key.fileobj is self._stop:
                        return False
                    source, target = (near, far) if key.fileobj is near else (far, near)
                    try:
                        carried = source.recv(CHUNK)
                        if self.mute and source is near and carried:
                            continue
                        if room is not None:
                            carried, room = carried[:room], room - len(carried)
                        target.sendall(carried)
                    except OSError:
                        carried = b""
                    if not carried or (room is not None and room <= 0):
                        self._cuts = self._cuts[1:]
                        return True
