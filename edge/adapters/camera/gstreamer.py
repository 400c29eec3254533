"""A GStreamer pipeline as a camera source, run in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time

import numpy as np

from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError
from ostiary.edge.sections import CameraSection

LAST_WORDS = 64_000
HEARING_S = 1.0
"""Seconds that the first picture waits at most until gst-launch has told its size."""
CONVERT = "ostiary"
"""Name of the first element that we add to a pipeline: its input has the camera's own size."""
_CAPS = re.compile(
    rb":%b\.GstPad:sink: caps = .*?width=\(int\)(\d+), height=\(int\)(\d+)" % CONVERT.encode()
)


class PipelineSource:
    """A GStreamer pipeline in its own process, which writes raw BGR to a pipe.

    OpenCV from PyPI has no GStreamer. If a camera driver hangs, it blocks only this process, which
    can be killed, and not the daemon.
    """

    live = True

    def __init__(self, pipeline: str, camera: CameraSection) -> None:
        if camera.width % 4:
            raise CameraError(
                "the width of a gst: camera must be a multiple of 4",
                "GStreamer pads the rows of other widths",
            )
        self._shape = (camera.height, camera.width, 3)
        self.size_px: tuple[int, int] | None = None
        self._heard, self._waited = 0, False
        # Use a separate pipe, not stdout: elements print to stdout, and one printed line would
        # shift every later frame.
        reading, writing = os.pipe()
        sink = (
            f"! videoconvert name={CONVERT} ! videoscale ! video/x-raw,format=BGR,"
            f"width={camera.width},height={camera.height} ! fdsink fd={writing}"
        )
        self._frames = os.fdopen(reading, "rb")
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed with the source
        self._told = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed with the source
        # Line-buffered: otherwise another picture size would be noticed too late.
        launch = ["stdbuf", "-oL", "gst-launch-1.0", "-v"]
        try:
            if shutil.which(launch[2]) is None:
                raise FileNotFoundError("it is not installed")
            self._process = subprocess.Popen(
                [*launch, *shlex.split(pipeline), *shlex.split(sink)],
                stdin=subprocess.DEVNULL,
                stdout=self._told,
                stderr=self._said,
                pass_fds=[writing],
            )
        except (OSError, ValueError) as error:
            self._close_files()
            raise CameraError(
                f"cannot start gst-launch-1.0: {error}",
                "install GStreamer (Debian: gstreamer1.0-tools, -plugins-base and -plugins-good)",
            ) from error
        finally:
            os.close(writing)

    def read(self) -> Image | None:
        wanted = int(np.prod(self._shape))
        data = self._frames.read(wanted)
        if len(data) == wanted:
            self._hear()
            if not self._waited:
                self._await_size()
            return np.frombuffer(data, np.uint8).reshape(self._shape)
        raise CameraError(f"the GStreamer pipeline ended: {self._last_words()}")

    def _hear(self) -> None:
        """Read the camera's own picture size from the pipeline's output, each time it changes."""
        file = self._told.fileno()
        told = os.pread(file, LAST_WORDS, self._heard)
        whole = told[: told.rfind(b"\n") + 1]
        self._heard += len(whole)
        for width, height in _CAPS.findall(whole):
            self.size_px = (int(width), int(height))
        # A pipeline that prints something at every frame must not fill the disk in a month.
        if self._heard > LAST_WORDS:
            self._told.truncate(0)
            self._heard = 0
        if os.fstat(self._said.fileno()).st_size > LAST_WORDS:
            self._said.truncate(0)

    def _await_size(self) -> None:
        """Wait for the size of the first picture: gst-launch prints it in another thread than the
        one that passes the picture on. Without it the asked size would count as the camera's own,
        and the true one, a moment later, as a change.
        """
        self._waited = True
        until_s = time.monotonic() + HEARING_S
        while self.size_px is None and time.monotonic() < until_s:
            time.sleep(0.002)
            self._hear()

    def _last_words(self) -> str:
        self._process.wait()
        self._said.seek(0)
        lines = self._said.read(LAST_WORDS).decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in lines if line.startswith(("ERROR", "WARNING: err"))]
        return (errors or lines or ["no reason given"])[0]

    def interrupt(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close_files()

    def _close_files(self) -> None:
        for file in (self._frames, self._said, self._told):
            file.close()
