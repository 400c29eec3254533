"""JPEG: refuses what the decoder would have to patch, since OpenCV patches without a word."""

from __future__ import annotations

import re

import cv2
import simplejpeg

from ostiary.edge.adapters.formats.base import Format, cut_short, damaged, opencv
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

BEGINS, END = b"\xff\xd8\xff", b"\xff\xd9"
START_OF_SCAN, END_OF_IMAGE, START_OF_IMAGE = 0xDA, 0xD9, 0xD8
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of a frame's header; the three others in their range start tables."""
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
"""A marker inside or behind coded data, where FF 00 is a value and FF D0 to FF D7 are restarts."""


def _begins(data: bytes) -> bool:
    return data.startswith(BEGINS)


def _size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) of the frame that the decoder will take: the last one before the pixels."""
    found, _ = _header(data)
    if found is None:
        raise cut_short(name)
    return found


def _image(data: bytes, name: str, half: bool) -> Image:
    if _ends(data):
        check(data, name)
    else:
        # A file that lacks only its end mark is whole; libjpeg warns of that as of lost pixels.
        data += END
        try:
            check(data, name)
        except PhotoError as error:
            raise cut_short(name) from error
    return opencv(data, name, cv2.IMREAD_REDUCED_COLOR_2 if half else cv2.IMREAD_COLOR)


def check(data: bytes, name: str) -> None:
    """Raise PhotoError for a JPEG in which the decoder would have to invent pixels.

    libjpeg only warns of that; here every warning counts. All coded data is read, but few pixels
    are computed, so that it costs about half of a decoding.
    """
    try:
        _decode(data, strict=True)
    except ValueError as error:
        try:
            _decode(data, strict=False)
        except ValueError:
            hint = "save it as an ordinary JPEG"
            raise PhotoError(f"{name} cannot be decoded: {error}", hint) from error
        raise damaged(name, str(error)) from error


def _decode(data: bytes, strict: bool) -> None:
    """Decode in grey at an eighth of the size. Raises ValueError; if `strict`, for warnings too."""
    simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=strict)


def _header(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """(width, height), if a frame's header was found, and where the first scan starts."""
    at, found = 2, None
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these markers have no length
            at += 2
            continue
        if marker in FRAMES:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            found = int.from_bytes(data[at + 7 : at + 9], "big"), height
        if marker == START_OF_SCAN:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found, at


def _ends(data: bytes) -> bool:
    """Whether the coded data is followed by the end mark; the one of a thumbnail does not count."""
    _, at = _header(data)
    while marker := _MARKER.search(data, at):
        kind = data[marker.start() + 1]
        if kind in (END_OF_IMAGE, START_OF_IMAGE):
            return kind == END_OF_IMAGE
        # Tables and the next scan of a progressive JPEG: skip the segment, not what it holds.
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


JPEG = Format(_begins, _size, _image)
