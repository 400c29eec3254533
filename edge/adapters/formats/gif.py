"""GIF: of an animation only the first picture is read."""

from __future__ import annotations

from ostiary.edge.adapters.formats.base import Format, cut_short, halved, opencv
from ostiary.edge.core.types import Image

BEGINS = (b"GIF87a", b"GIF89a")
EXTENSION, PICTURE, END = 0x21, 0x2C, b"\x3b"
HEADER, DESCRIPTOR = 13, 10


def _begins(data: bytes) -> bool:
    return data.startswith(BEGINS)


def _size(data: bytes, name: str) -> tuple[int, int]:
    if len(data) < HEADER:
        raise cut_short(name)
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _image(data: bytes, name: str, half: bool) -> Image:
    return halved(opencv(_first(data, name), name), half)


def _first(data: bytes, name: str) -> bytes:
    """The file up to the end of its first picture, with an end mark."""
    at = HEADER + _colours(data[10])
    try:
        while data[at] == EXTENSION:
            at = _after_blocks(data, at + 2)
        if data[at] == PICTURE:
            at += DESCRIPTOR + _colours(data[at + DESCRIPTOR - 1])
            return data[: _after_blocks(data, at + 1)] + END
    except IndexError:
        pass
    raise cut_short(name)


def _colours(flags: int) -> int:
    """The bytes of the colour table that a header's flags announce."""
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """Where a row of blocks ends; each starts with its length, and the last has none."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


GIF = Format(_begins, _size, _image)
