"""Camera sources by URL: devices, streams, files, folders, GStreamer pipelines."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

import cv2

from ostiary.edge.adapters.camera.controls import controlled
from ostiary.edge.adapters.camera.gstreamer import PipelineSource
from ostiary.edge.adapters.camera.mjpeg import MjpegSource
from ostiary.edge.adapters.photos import KINDS, is_photo, read_photo
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError, PhotoError
from ostiary.edge.sections import CameraSection

log = logging.getLogger(__name__)

# Failures are reported as events; FFmpeg would print a line at every attempt as well.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
OPENING_S = 3.0
"""Seconds that OpenCV may take to open a stream and to read a frame, unless `stall_s` is longer:
an attempt that hangs must be over soon after the camera has returned."""
FORMS = (
    "use v4l2:/dev/video0, rtsp://..., http://... (MJPEG), gst:PIPELINE, a video file,"
    " or folder:DIR"
)
_CREDENTIALS = re.compile(r"//\S*@")


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
    live = ("v4l2", "rtsp", "rtsps", "http", "gst")
    known = (*live, "file", "folder")
    if not camera.url or (colon and kind not in known) or (kind in known and not rest):
        raise CameraError(f"no camera at {shown(camera.url)!r}", FORMS)
    if kind == "http" and not _names_host(camera.url):
        raise CameraError(f"{shown(camera.url)!r} names no camera", "use http://HOST/PATH")
    path = Path(rest if kind in known else camera.url)
    if kind not in live and not path.exists():
        raise CameraError(f"there is no file or folder {path}", FORMS)


def shown(url: str) -> str:
    """A URL without the user and the password in it, for errors and the log."""
    return _CREDENTIALS.sub("//", url)


def _names_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def open_source(camera: CameraSection) -> CameraSource:
    """Open the source of a camera's URL. Raises CameraError if that is not possible."""
    kind, _, rest = camera.url.partition(":")
    if kind == "v4l2":
        return controlled(CaptureSource(rest, cv2.CAP_V4L2, camera), rest, camera.controls)
    if kind in ("rtsp", "rtsps"):
        return CaptureSource(camera.url, cv2.CAP_FFMPEG, camera)
    if kind == "http":
        return MjpegSource(camera, max(OPENING_S, camera.stall_s))
    if kind == "gst":
        return PipelineSource(rest, camera)
    path = Path(rest if kind in ("file", "folder") else camera.url)
    if path.is_dir():
        return FolderSource(path, camera)
    if path.is_file():
        return CaptureSource(str(path), cv2.CAP_FFMPEG, camera, file=True)
    raise CameraError(f"no camera at {shown(camera.url)}", FORMS)


class CaptureSource:
    """A device, stream or video file that OpenCV opens.

    If the size of a stream or file changes, OpenCV scales the frames to the first size.
    """

    size_px: tuple[int, int] | None = None

    def __init__(self, name: str, api: int, camera: CameraSection, file: bool = False) -> None:
        self.live = not file
        self._name, self._loop = shown(name), camera.loop and file
        settings = []
        if api == cv2.CAP_FFMPEG and not file:
            limit_ms = int(max(OPENING_S, camera.stall_s) * 1000)
            settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms]
            settings += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        self._capture = cv2.VideoCapture(name, api, settings)
        if not self._capture.isOpened():
            raise CameraError(
                f"cannot open {self._name}",
                "check that it is plugged in and that this user may read it",
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
    """The photos of a folder in order of name, each repeated for `hold_frames` frames.

    A photo that cannot be read is left out and named in the log once.
    """

    live = False
    size_px: tuple[int, int] | None = None

    def __init__(self, folder: Path, camera: CameraSection) -> None:
        self._photos = sorted(p for p in folder.iterdir() if is_photo(p))
        if not self._photos:
            raise CameraError(f"{folder} holds no photos", f"put {KINDS} there")
        self._hold, self._loop = camera.hold_frames, camera.loop
        self._next, self._held = 0, 0
        self._image: Image | None = None

    def read(self) -> Image | None:
        if self._image is None or self._held == self._hold:
            self._image, self._held = self._following(), 0
        self._held += 1
        return self._image

    def _following(self) -> Image | None:
        """The next photo that can be read, or None at the end."""
        while self._photos and (self._loop or self._next < len(self._photos)):
            self._next %= len(self._photos)
            photo = self._photos[self._next]
            try:
                image = read_photo(photo)
            except PhotoError as error:
                log.warning("camera: a photo is left out: %s", error)
                self._photos.pop(self._next)
                if self._loop and not self._photos:
                    raise CameraError(f"no photo is left: {error.message}", error.hint) from error
                continue
            self._next += 1
            return image
        return None

    def interrupt(self) -> None:
        """Does nothing: a folder does not hang."""

    def close(self) -> None:
        self._image = None
