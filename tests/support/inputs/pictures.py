"""Photos in every format, made from an array as other programs write them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image as PilImage

from ostiary.edge.adapters.photos import decode, read_photo
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

pillow_heif.register_heif_opener()

ORIENTATION = 0x0112
TURNS = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_90,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_270,
}
"""How a camera that notes each EXIF orientation has turned the picture."""


def as_pil(image: Image, mode: str = "RGB") -> PilImage.Image:
    """A BGR picture as Pillow's, in a mode such as "L" or "CMYK"."""
    return PilImage.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).convert(mode)


def saved(picture: PilImage.Image, kind: str, **settings: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def turned(image: Image, kind: str, orientation: int) -> bytes:
    """A picture as a camera held otherwise writes it."""
    exif = PilImage.Exif()
    exif[ORIENTATION] = orientation
    return saved(as_pil(image).transpose(TURNS[orientation]), kind, exif=exif)


def apart(data: bytes | Path, image: Image) -> float:
    """The mean difference between what is read from a file and a picture of the same size."""
    got = read_photo(data) if isinstance(data, Path) else decode(data, "a photo")
    assert got.shape == image.shape
    assert got.dtype == np.uint8
    return float(np.abs(got.astype(int) - image.astype(int)).mean())


def why_refused(data: bytes) -> str:
    """The message with which a file's bytes are refused."""
    with pytest.raises(PhotoError) as caught:
        decode(data, "a photo")
    return str(caught.value)
