"""Camera sources by URL: devices, streams, files, folders, GStreamer pipelines."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.config import CameraSection
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError

# Failures are reported as events; OpenCV would print a line at every attempt as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
OPENING_S = 3.0
"""Seconds that OpenCV may take to open a stream and to read a frame, unless `stall_s` is longer:
an attempt that hangs must be over soon after the camera has returned."""
LAST_WORDS = 64_000
CONVERT = "ostiary"
"""Name of the first element that we add to a pipeline: its input has the camera's own size."""
_CAPS = re.compile(
    rb":%b\.GstPad:sink: caps = .*?width=\(int\)(\d+), height=\(int\)(\d+)" % CONVERT.encode()
)
FORMS = "use v4l2:/dev/video0, rtsp://..., gst:PIPELINE, a video file, or folder:DIR"


class CameraSource(Protocol):
    """Gives frames one after another. A `live` source cannot wait for its reader and never ends."""

    live: bool
    size_px: tuple[int, int] | None
    """Width and height before this source scaled the frame; None if it does not scale."""

    def read(self) -> Image | None:
        """The next frame, or None at the end. Raises CameraError if the source failed."""
        ...

    def interrupt(self) -> None:
        """End a `read` that hangs, if possible; called by another thread."""
        ...

    def close(self) -> None:
        """Close the device or file."""
        ...


def check_url(camera: CameraSection) -> None:
    """Raise CameraError for a URL of an unknown form, and for a file or folder that is missing.

    Cameras and streams are not tried: they may appear later, while a wrong path stays wrong.
    """
    kind, colon, rest = camera.url.partition(":")
    known = ("v4l2", "rtsp", "rtsps", "gst", "file", "folder")
    if not camera.url or (colon and kind not in known) or (kind in known and not rest):
        raise CameraError(f"no camera at {camera.url!r}", FORMS)
    path = Path(rest if kind in known else camera.url)
    if kind not in known[:4] and not path.exists():
        raise CameraError(f"there is no file or folder {path}", FORMS)


def open_source(camera: CameraSection) -> CameraSource:
    """Open the source of a camera's URL. Raises CameraError if that is not possible."""
    kind, _, rest = camera.url.partition(":")
    if kind == "v4l2":
        return CaptureSource(rest, cv2.CAP_V4L2, camera)
    if kind in ("rtsp", "rtsps"):
        return CaptureSource(camera.url, cv2.CAP_FFMPEG, camera)
    if kind == "gst":
        return PipelineSource(rest, camera)
    path = Path(rest if kind in ("file", "folder") else camera.url)
    if path.is_dir():
        return FolderSource(path, camera)
    if path.is_file():
        return CaptureSource(str(path), cv2.CAP_FFMPEG, camera, file=True)
    raise CameraError(f"no camera at {camera.url}", FORMS)


class CaptureSource:
    """A device, stream or video file that OpenCV opens.

    If the size of a stream or file changes, OpenCV scales the frames to the first size.
    """

    size_px: tuple[int, int] | None = None

    def __init__(self, name: str, api: int, camera: CameraSection, file: bool = False) -> None:
        self.live = not file
        self._name, self._loop = name, camera.loop and file
        settings = []
        if api == cv2.CAP_FFMPEG and not file:
            limit_ms = int(max(OPENING_S, camera.stall_s) * 1000)
            settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms]
            settings += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        self._capture = cv2.VideoCapture(name, api, settings)
        if not self._capture.isOpened():
            raise CameraError(
                f"cannot open {name}", "check that it is plugged in and that this user may read it"
            )
        if api == cv2.CAP_V4L2:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
            self._capture.set(cv2.CAP_PROP_FPS, camera.fps)
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self) -> Image | None:
        try:
            got, image = self._capture.read()
            if not got and self._loop:
                self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                got, image = self._capture.read()
        except cv2.error as error:
            raise CameraError(f"{self._name} gives no pictures: {error}") from error
        if got:
            return cast(Image, image)
        if self.live:
            raise CameraError(f"{self._name} gives no more frames")
        return None

    def interrupt(self) -> None:
        """Does nothing: OpenCV crashes if a capture is released while another thread reads it."""

    def close(self) -> None:
        self._capture.release()


class FolderSource:
    """The photos of a folder in order of name, each repeated for `hold_frames` frames."""

    live = False
    size_px: tuple[int, int] | None = None

    def __init__(self, folder: Path, camera: CameraSection) -> None:
        self._photos = sorted(p for p in folder.iterdir() if is_photo(p))
        if not self._photos:
            raise CameraError(f"{folder} holds no photos", "put JPEG, PNG, BMP, PGM or PPM there")
        self._hold, self._loop = camera.hold_frames, camera.loop
        self._next = 0
        self._image: Image | None = None

    def read(self) -> Image | None:
        at, held = divmod(self._next, self._hold)
        if at >= len(self._photos):
            if not self._loop:
                return None
            self._next = at = held = 0
        if held == 0 or self._image is None:
            self._image = read_photo(self._photos[at])
        self._next += 1
        return self._image

    def interrupt(self) -> None:
        """Does nothing: a folder does not hang."""

    def close(self) -> None:
        self._image = None


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
        self._heard = 0
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
