"""AVIF and HEIC: pictures in boxes, which say the size and how to turn the picture upright."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np

from ostiary.edge.adapters.formats.base import Format, cut_short, halved, opencv
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError

AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"}
ORIENTATION = 0x0112
TURNS = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_CLOCKWISE,
}
"""By the angle of a box `irot`, in quarters counterclockwise."""
EXIF_TURNS = {
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (3, 1),
    6: (3, None),
    7: (1, 1),
    8: (1, None),
}
"""EXIF's orientations as the angle of an `irot`, then the axis of an `imir` (1: left-right)."""
INSTALL = "pip install 'ostiary[heic]', or save the photo as JPEG"


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    until = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, until, 4))}


def _is_avif(data: bytes) -> bool:
    return bool(AVIF_BRANDS & _brands(data))


def _is_heic(data: bytes) -> bool:
    return bool(HEIC_BRANDS & _brands(data))


def _size(data: bytes, name: str) -> tuple[int, int]:
    """The largest size that any part declares: of the picture, its tiles and its thumbnail."""
    sizes = [
        (int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big"))
        for kind, body in _properties(_meta(data))
        if kind == b"ispe"
    ]
    if not sizes:
        raise cut_short(name)
    return max(sizes, key=lambda size: size[0] * size[1])


def _avif(data: bytes, name: str, half: bool) -> Image:
    # OpenCV turns by EXIF, which these boxes overrule, and does not know the boxes.
    angle, axis = _turn(data)
    if angle is None and axis is None:
        return halved(opencv(data, name), half)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return _turned(halved(opencv(data, name, flags), half), angle or 0, axis)


def _heic(data: bytes, name: str, half: bool) -> Image:
    try:
        import pi_heif
        from PIL import Image as PilImage
    except ImportError as error:
        raise PhotoError(f"{name} is a HEIC photo: pi-heif is not installed", INSTALL) from error
    try:
        found = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True, bgr_mode=True)
        # A copy: the library frees the pixels with `found`, whoever still looks at them.
        pixels = np.array(found)
    # The last three are raised for damage by the library's own account.
    except (ValueError, OSError, EOFError, SyntaxError, RuntimeError) as error:
        raise PhotoError(
            f"{name} cannot be decoded: {error}", "check that it is complete"
        ) from error
    image = halved(_in_bgr(pixels, name), half)
    if _turn(data) != (None, None):
        return image  # the library has turned it already
    exif = PilImage.Exif()
    exif.load(found.info.get("exif") or b"")
    return _turned(image, *EXIF_TURNS.get(exif.get(ORIENTATION, 1), (0, None)))


def _in_bgr(pixels: np.ndarray, name: str) -> Image:
    """Grey, and pictures with an alpha channel, as BGR."""
    if pixels.dtype != np.uint8:
        # Grey of more than 8 bits fills 16.
        pixels = np.asarray(pixels >> 8, np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])


def _turn(data: bytes) -> tuple[int | None, int | None]:
    """The angle and the axis by which the picture's boxes turn and mirror it; None if absent."""
    found = dict(_of_primary(_meta(data)))
    angle, axis = found.get(b"irot"), found.get(b"imir")
    return (angle[0] % 4 if angle else None), (axis[0] % 2 if axis else None)


def _turned(image: Image, angle: int, axis: int | None) -> Image:
    """Turn by quarters counterclockwise, then mirror top-bottom (0) or left-right (1)."""
    if angle:
        image = np.asarray(cv2.rotate(image, TURNS[angle]), np.uint8)
    return image if axis is None else np.asarray(cv2.flip(image, axis), np.uint8)


def _of_primary(meta: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The properties of the file's main picture, as (kind, body)."""
    properties, primary = _properties(meta), _box(meta, b"pitm")
    item = int.from_bytes(primary[4:], "big")
    for index in _associated(_box(_box(meta, b"iprp"), b"ipma"), item):
        if 0 < index <= len(properties):
            yield properties[index - 1]


def _associated(body: memoryview, item: int) -> list[int]:
    """The numbers, from 1 on, of the properties that an `ipma` gives to an item."""
    if len(body) < 8:
        return []
    at, id_bytes, index_bytes = 8, 4 if body[0] else 2, 2 if body[3] & 1 else 1
    for _ in range(int.from_bytes(body[4:8], "big")):
        if at + id_bytes >= len(body):
            break
        which, count = int.from_bytes(body[at : at + id_bytes], "big"), body[at + id_bytes]
        at += id_bytes + 1
        until = at + count * index_bytes
        if which == item:
            parts = [body[i : i + index_bytes] for i in range(at, until, index_bytes)]
            # The highest bit says that the property is essential.
            return [int.from_bytes(p, "big") & (2 ** (8 * index_bytes - 1) - 1) for p in parts]
        at = until
    return []


def _properties(meta: memoryview) -> list[tuple[bytes, memoryview]]:
    return list(_boxes(_box(_box(meta, b"iprp"), b"ipco")))


def _meta(data: bytes) -> memoryview:
    """The inside of the file's box `meta`, which begins with four bytes of version and flags."""
    return _box(memoryview(data), b"meta")[4:]


def _box(data: memoryview, kind: bytes) -> memoryview:
    """The body of the first box of a kind; empty if there is none."""
    return next((body for found, body in _boxes(data) if found == kind), data[:0])


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The boxes in a row, as (kind, body); ends at the first that is not whole."""
    at = 0
    while at + 8 <= len(data):
        length, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        until = at + length if length else len(data)
        if until < start or until > len(data):
            return
        yield bytes(data[at + 4 : at + 8]), data[start:until]
        at = until


AVIF = Format(_is_avif, _size, _avif)
HEIC = Format(_is_heic, _size, _heic)
