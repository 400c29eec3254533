"""Reads photos from disk: checks their format, size and completeness, turns them upright."""

from __future__ import annotations

import stat
from pathlib import Path

from ostiary.edge.adapters.formats.base import MAX_PIXELS, Format
from ostiary.edge.adapters.formats.gif import GIF
from ostiary.edge.adapters.formats.heif import AVIF, HEIC
from ostiary.edge.adapters.formats.jpeg import JPEG
from ostiary.edge.adapters.formats.plain import BMP, PNM, WEBP
from ostiary.edge.adapters.formats.png import PNG
from ostiary.edge.adapters.formats.tiff import TIFF
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

HALVED_PIXELS = 50_000_000
"""Photos with more pixels are read at half their size: a face has enough left, and memory too."""
MAX_BYTES = 100_000_000
MIN_SIDE_PX = 32
FORMATS = (JPEG, PNG, WEBP, AVIF, HEIC, TIFF, GIF, BMP, PNM)
"""AVIF before HEIC: both say of themselves that they are HEIF."""
KINDS = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, PGM or PPM"
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".jfif", ".webp", ".avif"),
    *(".heic", ".heif", ".hif", ".tif", ".tiff", ".gif"),
)


def read_photo(path: Path) -> Image:
    """One photo as (height, width, 3) uint8 BGR, turned upright by its EXIF orientation.

    Grey, alpha and 16-bit pictures become 8-bit BGR; of an animation the first picture is read.
    More than HALVED_PIXELS are read at half the size. Raises PhotoError if the file cannot be
    read, is cut short or damaged, has another format, or is too small or too large.
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
    kind = _format(data, name)
    width, height = kind.size(data, name)
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{name} is {width}x{height}, more than {MAX_PIXELS // 10**6} megapixels",
            "scale it down first",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise PhotoError(
            f"{name} is {width}x{height} pixels", f"each side must have at least {MIN_SIDE_PX}"
        )
    return kind.image(data, name, width * height > HALVED_PIXELS)


def _format(data: bytes, name: str) -> Format:
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes)")
    found = next((kind for kind in FORMATS if kind.begins(data)), None)
    if found is None:
        raise PhotoError(f"{name} is not a picture of a known format", f"use {KINDS}")
    return found


def is_photo(path: Path) -> bool:
    """Whether a file's name has a picture's extension."""
    return path.suffix.lower() in SUFFIXES
