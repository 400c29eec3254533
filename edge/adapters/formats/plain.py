"""Formats whose header is read in one step: WebP, BMP, PGM and PPM."""

from __future__ import annotations

import re

from ostiary.edge.adapters.formats.base import Format, cut_short, deep, halved, opencv
from ostiary.edge.core.types import Image

_PNM = re.compile(rb"P[56](?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s")


def _plain(data: bytes, name: str, half: bool) -> Image:
    return halved(opencv(data, name), half)


def _is_bmp(data: bytes) -> bool:
    return data.startswith(b"BM")


def _bmp_size(data: bytes, name: str) -> tuple[int, int]:
    width, height = (int.from_bytes(data[i : i + 4], "little", signed=True) for i in (18, 22))
    return abs(width), abs(height)


def _is_pnm(data: bytes) -> bool:
    return _PNM.match(data) is not None


def _pnm_size(data: bytes, name: str) -> tuple[int, int]:
    found = _PNM.match(data)
    if found is None:
        raise cut_short(name)
    return int(found[1]), int(found[2])


def _is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _webp_size(data: bytes, name: str) -> tuple[int, int]:
    """From the header of an extended, a lossless or a lossy file, as the first part says."""
    if len(data) < 30 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise cut_short(name)
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        return width + 1, height + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return bits % 2**14 + 1, (bits >> 14) % 2**14 + 1
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (26, 28))
    return width % 2**14, height % 2**14


BMP = Format(_is_bmp, _bmp_size, _plain)
PNM = Format(_is_pnm, _pnm_size, deep)
WEBP = Format(_is_webp, _webp_size, _plain)
