"""A network camera that sends MJPEG over HTTP, on a port of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

import cv2

from ostiary.edge.core.types import Image

Parts = Sequence[bytes]
Answer = Callable[[str], Parts]
"""Makes the pieces to send from a request's head."""


class MjpegCamera:
    """Answers each connection in turn with what `answer` makes of the request, then closes it."""

    def __init__(self, answer: Answer, hang: bool = False) -> None:
        """With `hang` the connection stays open, and silent, until the camera is closed."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.requests: list[str] = []
        self._answer, self._hang = answer, hang
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def url(self, before: str = "") -> str:
        return f"http://{before}127.0.0.1:{self.port}/video?fps=5"

    def close(self) -> None:
        self._closing.set()
        # The thread may wait for a connection: be that connection.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(10)
        self._listening.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            connected, _ = self._listening.accept()
            with connected:
                connected.settimeout(10)
                try:
                    self._serve(connected)
                except OSError:
                    continue  # the reader has left

    def _serve(self, connected: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            got = connected.recv(4096)
            if not got:
                return
            head += got
        self.requests.append(head.decode())
        for piece in self._answer(self.requests[-1]):
            connected.sendall(piece)
        if self._hang:
            self._closing.wait(30)


def head(kind: str = "multipart/x-mixed-replace; boundary=frame", status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\n\r\n".encode()


def part(image: Image, length: bool = True, mark: bytes = b"--frame") -> bytes:
    """One picture as the part of a stream."""
    data = cv2.imencode(".jpg", image)[1].tobytes()
    stated = b"Content-Length: %d\r\n" % len(data) if length else b""
    return mark + b"\r\nContent-Type: image/jpeg\r\n" + stated + b"\r\n" + data + b"\r\n"
