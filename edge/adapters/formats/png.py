"""PNG: checks the sums of its chunks, and leaves out what stands after the end."""

from __future__ import annotations

import zlib

from ostiary.edge.adapters.formats.base import (
    MOST_PER_PIXEL,
    Format,
    cut_short,
    damaged,
    deep,
    unpacked_whole,
)
from ostiary.edge.core.types import Image

BEGINS = b"\x89PNG\r\n\x1a\n"
PIXELS, END = b"IDAT", b"IEND"
END_CHUNK = bytes(4) + END + zlib.crc32(END).to_bytes(4, "big")
AROUND = 12
"""Bytes of a chunk besides its data: length, kind and sum."""


def _begins(data: bytes) -> bool:
    return data.startswith(BEGINS)


def _size(data: bytes, name: str) -> tuple[int, int]:
    if len(data) < 24:
        raise cut_short(name)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _image(data: bytes, name: str, half: bool) -> Image:
    return deep(_whole(data, name), name, half)


def _whole(data: bytes, name: str) -> bytes:
    """The bytes up to the end mark, which is added if nothing else is missing."""
    at, pixels = len(BEGINS), zlib.decompressobj()
    width, height = _size(data, name)
    most = MOST_PER_PIXEL * width * height
    while at + AROUND <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        until = at + AROUND + length
        if until > len(data):
            break
        # A capital letter marks the chunks that a picture cannot do without.
        if kind[:1].isupper() and zlib.crc32(data[at + 4 : until - 4]) != int.from_bytes(
            data[until - 4 : until], "big"
        ):
            raise damaged(name, f"the checksum of its part {kind.decode('latin-1')!r} is wrong")
        if kind == PIXELS:
            most -= unpacked_whole(pixels, data[at + 8 : until - 4], name, most)
        at = until
        if kind == END:
            break
    if not pixels.eof:
        raise cut_short(name)
    return data[:at] if data[at - AROUND : at] == END_CHUNK else data[:at] + END_CHUNK


PNG = Format(_begins, _size, _image)
