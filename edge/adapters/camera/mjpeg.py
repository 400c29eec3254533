"""A network camera that sends MJPEG over HTTP: JPEGs in one endless multipart answer."""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.error
import urllib.request
from functools import partial
from urllib.parse import unquote, urlsplit

import numpy as np
import simplejpeg

from ostiary.edge.adapters.formats.jpeg import JPEG
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError, PhotoError
from ostiary.edge.sections import CameraSection

MAX_FRAME_BYTES = 16_000_000
MAX_FRAME_PIXELS = 7680 * 4320
"""The largest picture that a profile can ask a camera for."""
MAX_LINE_BYTES = 4096
BAD_FRAMES = 30
"""Pictures in a row that cannot be decoded, after which the camera counts as broken."""
UNAUTHORIZED = 401
CREDENTIALS = "write the camera's user and password as http://USER:PASSWORD@HOST/..."
STREAM = "set camera.url to the address of the camera's MJPEG stream"


class MjpegSource:
    """The newest pictures of an `http://` address; user and password may stand before the host.

    Only one picture is held at a time. Errors never show the password.
    """

    live = True
    size_px: tuple[int, int] | None = None

    def __init__(self, camera: CameraSection, limit_s: float) -> None:
        """`limit_s` limits each wait for the camera. Raises CameraError if it does not answer."""
        self._at, opener, self._line_to = _opener(camera.url)
        try:
            self._answer: http.client.HTTPResponse = opener.open(self._at, timeout=limit_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            hint = STREAM
            if isinstance(error, urllib.error.HTTPError):
                hint = CREDENTIALS if error.code == UNAUTHORIZED else STREAM
                error.close()
            self._line_to.close()
            raise CameraError(f"cannot open {self._at}: {error}", hint) from error
        kind = self._answer.headers.get_content_type()
        boundary = self._answer.headers.get_param("boundary", "")
        self._boundary = str(boundary).encode("latin-1", "replace")
        if not kind.startswith("multipart/"):
            self.close()
            raise CameraError(f"{self._at} sends {kind}, not MJPEG", STREAM)

    def read(self) -> Image:
        for _ in range(BAD_FRAMES):
            try:
                data = self._part()
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise CameraError(f"{self._at} gives no more frames: {error}") from error
            image = _decoded(data)
            if image is not None:
                return image
        raise CameraError(f"{self._at} gives no pictures: {BAD_FRAMES} in a row were no JPEGs")

    def interrupt(self) -> None:
        """End a `read` that hangs: its wait for the camera ends at once."""
        self._line_to.cut()

    def close(self) -> None:
        self._line_to.close()

    def _part(self) -> bytes:
        """The body of the next part. Cameras differ in what stands around it."""
        length = self._length()
        if length is None:
            return self._until_boundary()
        if not 0 < length <= MAX_FRAME_BYTES:
            raise CameraError(f"{self._at} announces a picture of {length} bytes")
        data = self._answer.read(length)
        if len(data) < length:
            raise CameraError(f"{self._at} ended the stream")
        return data

    def _length(self) -> int | None:
        """Read up to the end of a part's header; the length that it states, if any.

        A boundary needs no look where the length is known: some cameras announce another one.
        """
        length, header = None, False
        for _ in range(MAX_LINE_BYTES):
            line = self._line().strip()
            if not line and header:
                return length
            name, colon, value = line.partition(b":")
            if colon and not line.startswith(b"--"):
                header = True
                if name.strip().lower() == b"content-length":
                    length = int(value)
            elif line.startswith(b"--"):
                # A boundary with nothing but an empty line behind it starts a part, too.
                header = True
        raise CameraError(f"{self._at} sends a header without an end")

    def _until_boundary(self) -> bytes:
        mark = self._boundary if self._boundary.startswith(b"--") else b"--" + self._boundary
        if mark == b"--":
            raise CameraError(f"{self._at} announces neither a length nor a boundary")
        found, total = list[bytes](), 0
        while not (line := self._line(whole=False)).startswith(mark):
            found.append(line)
            total += len(line)
            if total > MAX_FRAME_BYTES:
                raise CameraError(f"{self._at} sends a picture of more than {total} bytes")
        return b"".join(found)

    def _line(self, whole: bool = True) -> bytes:
        """The next line, or without `whole` as much of it as is read at once."""
        line = self._answer.readline(MAX_LINE_BYTES)
        if not line:
            raise CameraError(f"{self._at} ended the stream")
        if whole and len(line) == MAX_LINE_BYTES:
            raise CameraError(f"{self._at} sends no MJPEG: a line of its header has no end")
        return line


def _decoded(data: bytes) -> Image | None:
    """A JPEG as BGR, or None if it is none. libjpeg may patch it: another comes soon."""
    try:
        if not JPEG.begins(data):
            return None
        width, height = JPEG.size(data, "a frame")
        if width * height > MAX_FRAME_PIXELS:
            return None
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=False), np.uint8)
    except (PhotoError, ValueError):
        return None


class _Connection(http.client.HTTPConnection):
    """A connection that adds its socket to a list, for `_Handler.cut`."""

    def __init__(self, host: str, sockets: list[socket.socket], timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._sockets = sockets

    def connect(self) -> None:
        super().connect()
        self._sockets.append(self.sock)


class _Handler(urllib.request.HTTPHandler):
    """Opens connections, several if the camera asks for a password, and can end them all."""

    def __init__(self) -> None:
        super().__init__()
        self._sockets: list[socket.socket] = []
        self._answers: list[http.client.HTTPResponse] = []

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        answer = self.do_open(partial(_Connection, sockets=self._sockets), req)
        self._answers.append(answer)
        return answer

    def cut(self) -> None:
        """End every wait for the camera; may be called by another thread."""
        for connected in list(self._sockets):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        for answer in self._answers:
            answer.close()
        for connected in self._sockets:
            connected.close()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A camera that leads elsewhere is an error: elsewhere could be anything."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener(url: str) -> tuple[str, urllib.request.OpenerDirector, _Handler]:
    """The address without user and password, what opens it, and what ends its connections."""
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    handler = _Handler()
    opener = urllib.request.build_opener(
        # A camera is on the door's own network: no proxy of the environment leads to it.
        urllib.request.ProxyHandler({}),
        _NoRedirect(),
        handler,
    )
    if parts.username:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, address, user, password)
        opener.add_handler(urllib.request.HTTPDigestAuthHandler(passwords))
        opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))
    return address, opener, handler
