"""A camera's sensor behind a GStreamer pipeline, that fails as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading

import cv2
import numpy as np

from ostiary.edge.core.types import Image

WIDTH, HEIGHT, EVERY_S = 320, 240, 1 / 20
PICTURE = f"width = {WIDTH}\nheight = {HEIGHT}"
"""What the profile says of the sensor's pictures, under [camera]."""
LOOP = 30
"""Pictures of the recording that is played over and over."""


class Sensor:
    """A sensor at the other end of a socket, that does what the test says."""

    def __init__(self, scene: Image) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(EVERY_S)
        self.url = (
            f"gst:tcpclientsrc host=127.0.0.1 port={self._listening.getsockname()[1]} !"
            f" rawvideoparse format=bgr width={WIDTH} height={HEIGHT} framerate=20/1"
        )
        self._scene = cv2.resize(scene, (WIDTH, HEIGHT))
        self._rng = np.random.default_rng(5)
        self._does, self._last = "well", self._picture()
        self._recorded, self._count = [self._picture() for _ in range(LOOP)], 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def does(self, what: str) -> None:
        with self._changed:
            self._does = what
            self._changed.notify_all()

    def close(self) -> None:
        self.does("end")
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while self._does != "end":
            with contextlib.suppress(OSError):
                connection, _ = self._listening.accept()
                # A busy machine's daemon may not read for long, which is no fault of the camera.
                connection.settimeout(10.0)
                with connection:
                    self._feed(connection)

    def _feed(self, connection: socket.socket) -> None:
        while self._does not in ("unplugged", "end"):
            with self._changed:
                self._changed.wait_for(lambda: self._does != "silent")
            self._count += 1
            if self._does == "well":
                self._last = self._picture()
            elif self._does in ("looped", "looped under a clock"):
                self._last = self._recorded[self._count % LOOP].copy()
                if self._does != "looped":
                    self._last[:16, :80] = self._count % 256
            shown = np.zeros_like(self._last) if self._does == "black" else self._last
            if self._does == "cut short":
                connection.sendall(shown.tobytes()[: HEIGHT * WIDTH])
                return
            connection.sendall(shown.tobytes())
            with self._changed:
                self._changed.wait(EVERY_S)

    def _picture(self) -> Image:
        noise = self._rng.normal(0, 3, self._scene.shape)
        return np.asarray(np.clip(self._scene + noise, 0, 255), np.uint8)
