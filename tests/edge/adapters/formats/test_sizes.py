"""Photos of many pixels are read at half their size; more are refused before they are decoded."""

import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as PilImage

from ostiary.edge.adapters import photos
from ostiary.edge.adapters.photos import decode
from ostiary.edge.core.types import Image
from tests.support.inputs.pictures import as_pil, saved, why_refused

Patch = Callable[[bytes], bytes]


def _tiff_size(data: bytes) -> bytes:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = [file.pages[0].tags[n] for n in ("ImageWidth", "ImageLength")]  # type: ignore[union-attr]
    wrong = bytearray(data)
    for tag in tags:
        wrong[tag.offset + 2 : tag.offset + 4] = struct.pack("<H", 4)
        struct.pack_into("<I", wrong, tag.offset + 8, 30000)
    return bytes(wrong)


def _ispe(data: bytes) -> bytes:
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", 30000, 30000) + data[at + 8 :]


FORMS = {"gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIF"}
HUGE: dict[str, Patch] = {
    "gif": lambda data: data[:6] + struct.pack("<HH", 30000, 30000) + data[10:],
    "webp": lambda data: data[:26] + struct.pack("<HH", 16000, 16000) + data[30:],
    "tiff": _tiff_size,
    "avif": _ispe,
    "heic": _ispe,
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_size_is_refused_by_the_header(
    portrait: Image, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = HUGE[kind](saved(as_pil(portrait), FORMS[kind]))
    monkeypatch.setattr(cv2, "imdecode", None)
    assert "more than 100 megapixels" in why_refused(data)


@pytest.mark.parametrize("form", [".jpg", ".png"])
def test_a_photo_of_many_pixels_is_read_at_half_its_size(
    portrait: Image, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cv2.imencode(form, portrait)[1].tobytes()
    height, width = portrait.shape[:2]
    assert decode(data, "a").shape == portrait.shape
    monkeypatch.setattr(photos, "HALVED_PIXELS", height * width - 1)
    got = decode(data, "a")
    assert got.shape == (height // 2, width // 2, 3)
    small = cv2.resize(portrait, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    assert np.abs(got.astype(int) - small.astype(int)).mean() < 4


def test_a_jpeg_of_84_megapixels_is_read(portrait: Image) -> None:
    large = PilImage.new("RGB", (12000, 7000), (90, 120, 150))
    got = decode(saved(large, "JPEG"), "a")
    assert got.shape == (3500, 6000, 3)
    assert np.abs(got[0, 0].astype(int) - [150, 120, 90]).max() <= 2
