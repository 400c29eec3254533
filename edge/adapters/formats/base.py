"""What all formats of photos share: their description, decoding by OpenCV, and refusals."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

# Every failure is an error of ours; OpenCV would print lines of its own as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MAX_PIXELS = 100_000_000
DEPTHS = (8, 10, 12, 14, 16)
"""The bits that cameras and scanners give per value; files hold the larger ones in 16 bits."""
MOST_PER_PIXEL = 16
"""Bytes that a pixel may take when unpacked, with a margin."""
AGAIN = "copy it again"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of photos. Each function takes the file's bytes and the name for errors.

    `begins` tells whether bytes are of this format. `size` reads (width, height) from the header,
    before memory is taken for pixels. `image` decodes to (height, width, 3) uint8 BGR, turned
    upright, at half the size if its last argument is true. `size` and `image` raise PhotoError if
    the file is cut short, damaged, or of a kind that cannot be decoded.
    """

    begins: Callable[[bytes], bool]
    size: Callable[[bytes, str], tuple[int, int]]
    image: Callable[[bytes, str, bool], Image]


def cut_short(name: str) -> PhotoError:
    """The refusal of a file that ends too early."""
    return PhotoError(f"{name} is cut short", AGAIN)


def damaged(name: str, why: str) -> PhotoError:
    """The refusal of a file with wrong bytes in it."""
    return PhotoError(f"{name} is damaged: {why}", f"{AGAIN}, or use another photo")


def unpacked_whole(unpacker: zlib._Decompress, part: bytes, name: str, most: int) -> int:
    """Unpack and forget `part`, a megabyte at a time; returns how many bytes came out.

    Only whether the data is whole is of interest. Raises PhotoError if it is damaged, or if more
    than `most` bytes come out: a small file can unpack to terabytes.
    """
    total = 0
    try:
        while part and not unpacker.eof:
            total += len(unpacker.decompress(part, 2**20))
            part = unpacker.unconsumed_tail
            if total > most:
                raise damaged(name, "it holds more pixels than it says")
    except zlib.error as error:
        raise damaged(name, str(error)) from error
    return total


def opencv(data: bytes, name: str, flags: int = cv2.IMREAD_COLOR) -> Image:
    """What OpenCV decodes, as uint8 BGR. Raises PhotoError.

    With the flag IMREAD_ANYDEPTH, 16-bit values are stretched; without it, OpenCV drops low bits.
    """
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise PhotoError(f"{name} cannot be decoded: {error.err}") from error
    if found is None:
        raise PhotoError(f"{name} cannot be decoded", "check that the picture is complete")
    return _of_8_bits(np.asarray(found), name)


def deep(data: bytes, name: str, half: bool) -> Image:
    """Like `opencv`, of a format that can have 16 bits per value."""
    return halved(opencv(data, name, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), half)


def halved(image: Image, half: bool) -> Image:
    """An image at half its size, if `half`."""
    if not half:
        return image
    size = (max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _of_8_bits(image: NDArray[np.generic], name: str) -> Image:
    """16-bit values stretched to 8 bits, from the depth that the brightest of them needs.

    A sensor's 10 or 12 bits often lie unscaled in 16: without stretching they are nearly black.
    """
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype != np.uint16:
        raise PhotoError(
            f"{name} has values of the type {image.dtype}", "save it with 8 or 16 bits per value"
        )
    depth = next(depth for depth in DEPTHS if int(image.max()) < 2**depth)
    values = np.asarray(image, np.uint16)
    return np.asarray(cv2.convertScaleAbs(values, alpha=255 / (2**depth - 1)), np.uint8)
