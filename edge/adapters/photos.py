"""Reads photos from disk: checks their format, size and completeness, turns them upright."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

MAX_PIXELS = 50_000_000
MAX_BYTES = 100_000_000
MIN_SIDE_PX = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm")

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
BMP, PNM = b"BM", re.compile(rb"P[56](?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")
END_OF_IMAGE, PNG_END = b"\xff\xd9", b"IEND"


def read_photo(path: Path) -> Image:
    """One photo as (height, width, 3) uint8 BGR, turned upright by its EXIF orientation.

    Grey, alpha and 16-bit pictures become 8-bit BGR. Raises PhotoError if the file cannot be
    read, is cut short, has another format, or is too small or too large.
    """
    return decode(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a photo's file. Raises PhotoError if it is not a file or is too large."""
    try:
        found = path.stat()
        # Reading a pipe would wait for a writer, and some devices never end.
        if not stat.S_ISREG(found.st_mode):
            raise PhotoError(f"{path} is not a file")
        if found.st_size > MAX_BYTES:
            raise PhotoError(f"{path} has more than {MAX_BYTES // 10**6} MB")
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise PhotoError(f"{str(path)!r} is not a file name: {error}") from error


def decode(data: bytes, name: str) -> Image:
    """Like `read_photo`, for bytes; errors call the photo `name`."""
    if len(data) > MAX_BYTES:
        raise PhotoError(f"{name} has more than {MAX_BYTES // 10**6} MB")
    size = _declared_size(data, name)
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(
            f"{name} is {size[0]}x{size[1]}, more than {MAX_PIXELS // 10**6} megapixels",
            "scale it down first",
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise PhotoError(f"{name} cannot be decoded", "check that the picture is complete")
    if min(image.shape[:2]) < MIN_SIDE_PX:
        raise PhotoError(
            f"{name} is {image.shape[1]}x{image.shape[0]} pixels",
            f"each side must have at least {MIN_SIDE_PX} pixels",
        )
    return np.asarray(image, np.uint8)


def _declared_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) from the header, read before memory is allocated for the pixels."""
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes)")
    if data.startswith(PNG):
        if len(data) < 24 or PNG_END not in data[-16:]:
            raise PhotoError(f"{name} is cut short", "copy it again")
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(JPEG):
        return _jpeg_size(data, name)
    if data.startswith(BMP):
        width, height = (int.from_bytes(data[i : i + 4], "little", signed=True) for i in (18, 22))
        return abs(width), abs(height)
    if found := PNM.match(data):
        return int(found[1]), int(found[2])
    raise PhotoError(f"{name} is not a picture of a known format", "use JPEG, PNG, BMP, PGM or PPM")


def _jpeg_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) of a JPEG that has its end marker.

    Raises PhotoError without one: OpenCV would decode a cut JPEG into a half grey picture.
    """
    at, size = 2, None
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these markers have no length
            at += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            size = int.from_bytes(data[at + 7 : at + 9], "big"), height
        if marker == 0xDA:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if size is None or END_OF_IMAGE not in data[at:]:
        raise PhotoError(f"{name} is cut short", "copy it again")
    return size


def is_photo(path: Path) -> bool:
    """Whether a file's name has a picture's extension."""
    return path.suffix.lower() in SUFFIXES
