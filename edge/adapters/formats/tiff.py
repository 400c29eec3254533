"""TIFF: checks the parts of the first picture, whose damage OpenCV would paint over."""

from __future__ import annotations

import struct
import zlib

from ostiary.edge.adapters.formats.base import (
    MAX_PIXELS,
    MOST_PER_PIXEL,
    Format,
    cut_short,
    damaged,
    deep,
    unpacked_whole,
)
from ostiary.edge.adapters.formats.jpeg import check
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

ORDERS = {b"II": "<", b"MM": ">"}
KINDS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q"}
"""The types of the numbers that are read here, by TIFF's code, as `struct` names them."""
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PLANES, DNG = 254, 256, 257, 258, 259, 284, 50706
PARTS = ((273, 279), (324, 325))
"""Offsets and byte counts: of strips, and of tiles."""
JPEG_TABLES = 347
DEFLATE, JPEG = (8, 32946), 7
READ = {1: "none", 5: "LZW", JPEG: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
BIG = 43
"""The number of a BigTIFF, whose offsets have eight bytes."""
EXPORT = "export it as JPEG"


def _begins(data: bytes) -> bool:
    order = ORDERS.get(data[:2])
    return order is not None and struct.unpack_from(f"{order}H", data.ljust(4), 2)[0] in (42, BIG)


def _size(data: bytes, name: str) -> tuple[int, int]:
    tags = _tags(data, name)
    if not tags.get(WIDTH) or not tags.get(HEIGHT):
        raise cut_short(name)
    return tags[WIDTH][0], tags[HEIGHT][0]


def _image(data: bytes, name: str, half: bool) -> Image:
    tags = _tags(data, name)
    _refuse_others(tags, name, data)
    for part in _parts(tags, data, name):
        _check(tags, part, name)
    return deep(data, name, half)


def _refuse_others(tags: dict[int, tuple[int, ...]], name: str, data: bytes) -> None:
    """Refuse raw photos, whose first picture is a preview, and what OpenCV reads wrongly."""
    if DNG in tags or tags.get(SUBFILE, (0,))[0] & 1 or data[8:10] == b"CR":
        raise PhotoError(f"{name} is a camera's raw photo", EXPORT)
    packed, bits = tags.get(COMPRESSION, (1,))[0], max(tags.get(BITS, (1,)))
    if packed not in READ:
        known = ", ".join(sorted({*READ.values()}))
        raise PhotoError(f"{name} is a TIFF of the compression {packed}", f"use one of: {known}")
    if bits > 16:
        raise PhotoError(f"{name} has {bits} bits per value", "save it with 8 or 16")
    if bits > 8 and tags.get(PLANES, (1,))[0] != 1 and len(tags[BITS]) > 1:
        raise PhotoError(f"{name} keeps its {bits}-bit colours apart", "save it interleaved")


def _parts(tags: dict[int, tuple[int, ...]], data: bytes, name: str) -> list[bytes]:
    for at, lengths in PARTS:
        if at in tags:
            starts, counts = tags[at], tags.get(lengths, ())
            if len(starts) != len(counts):
                raise damaged(name, f"it has {len(starts)} parts and {len(counts)} lengths")
            parts = list(zip(starts, counts, strict=True))
            if any(start + count > len(data) for start, count in parts):
                raise cut_short(name)
            # Parts that share their bytes would let a small file take hours.
            if sum(counts) > len(data):
                raise damaged(name, "its parts overlap")
            return [data[start : start + count] for start, count in parts]
    raise cut_short(name)


def _check(tags: dict[int, tuple[int, ...]], part: bytes, name: str) -> None:
    """Unpack a part, if a check belongs to its compression. LZW and PackBits have none."""
    packed = tags.get(COMPRESSION, (1,))[0]
    if packed in DEFLATE:
        unpacker = zlib.decompressobj()
        unpacked_whole(unpacker, part, name, MOST_PER_PIXEL * MAX_PIXELS)
        if not unpacker.eof:
            raise damaged(name, "a part of it ends too early")
    elif packed == JPEG:
        # The tables of all parts are stored once, as a JPEG without a picture.
        tables = bytes(tags.get(JPEG_TABLES, ()))
        check(tables[:-2] + part[2:] if tables else part, name)


def _tags(data: bytes, name: str) -> dict[int, tuple[int, ...]]:
    """The numbers of the first picture's directory by tag; tags without any are left out."""
    order = ORDERS[data[:2]]
    try:
        big = struct.unpack_from(f"{order}H", data, 2)[0] == BIG
        count_form, word, head = ("Q", "Q", 8) if big else ("H", "I", 4)
        (at,) = struct.unpack_from(f"{order}{word}", data, head)
        (entries,) = struct.unpack_from(f"{order}{count_form}", data, at)
        at += struct.calcsize(f"{order}{count_form}")
        step = struct.calcsize(f"{order}HH{word}{word}")
        rows = [at + i * step for i in range(min(entries, 4096))]
        found = [_entry(data, row, order, word) for row in rows]
    except struct.error as error:
        raise cut_short(name) from error
    return {tag: numbers for tag, numbers in found if numbers}


def _entry(data: bytes, at: int, order: str, word: str) -> tuple[int, tuple[int, ...]]:
    """A tag and its numbers; none if they are of another type. Raises struct.error."""
    tag, kind, count = struct.unpack_from(f"{order}HH{word}", data, at)
    if kind not in KINDS or count > len(data):
        return tag, ()
    form = f"{order}{count}{KINDS[kind]}"
    at += struct.calcsize(f"{order}HH{word}")
    if struct.calcsize(form) > struct.calcsize(f"{order}{word}"):
        (at,) = struct.unpack_from(f"{order}{word}", data, at)
    return tag, struct.unpack_from(form, data, at)


TIFF = Format(_begins, _size, _image)
