"""PNG, WebP, AVIF, HEIC, GIF and TIFF of all kinds, whole and damaged."""

import builtins
import gc
import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
import tifffile

from ostiary.edge.adapters.photos import decode
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from tests.support.inputs.pictures import apart, as_pil, saved, why_refused

PLAIN: dict[str, tuple[str, dict[str, Any], float]] = {
    "png": ("PNG", {}, 0.1),
    "webp": ("WEBP", {}, 5),
    "webp, lossless": ("WEBP", {"lossless": True}, 0.1),
    "avif": ("AVIF", {}, 4),
    "heic": ("HEIF", {}, 4),
    "gif": ("GIF", {}, 9),
    "tiff": ("TIFF", {}, 0.1),
    "tiff, lzw": ("TIFF", {"compression": "tiff_lzw"}, 0.1),
    "tiff, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}, 0.1),
    "tiff, packbits": ("TIFF", {"compression": "packbits"}, 0.1),
    "tiff, jpeg": ("TIFF", {"compression": "jpeg"}, 5),
    "bmp": ("BMP", {}, 0.1),
    "ppm": ("PPM", {}, 0.1),
}
ALPHA = ("png", "webp", "webp, lossless", "avif", "heic", "gif", "tiff", "tiff, lzw")
CHECKED = ("png", "tiff, deflate", "tiff, jpeg")
"""Formats with checksums, or whose damage the decoder notices wherever it is."""


@pytest.fixture(params=PLAIN)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(image: Image, kind: str, mode: str = "RGB", **more: Any) -> bytes:
    form, settings, _ = PLAIN[kind]
    return saved(as_pil(image, mode), form, **settings, **more)


def test_each_is_read(portrait: Image, kind: str) -> None:
    assert apart(made(portrait, kind), portrait) < PLAIN[kind][2]


def test_bytes_after_the_end_do_not_matter(portrait: Image, kind: str) -> None:
    assert apart(made(portrait, kind) + bytes(64), portrait) < PLAIN[kind][2]


def test_the_pixels_outlive_the_decoder(portrait: Image, kind: str) -> None:
    """pi-heif lends its pixels and frees them: what was read later crashed the program."""
    kept = [decode(made(portrait, kind), "a") for _ in range(3)]
    gc.collect()
    assert all(image.flags.writeable for image in kept)
    assert all(np.array_equal(image, kept[0]) for image in kept)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_one_that_was_cut_is_refused(portrait: Image, kind: str, share: float) -> None:
    data = made(portrait, kind)
    said = why_refused(data[: int(len(data) * share)])
    assert "is cut short" in said or "cannot be decoded" in said


@pytest.mark.parametrize("kind", ALPHA)
def test_an_alpha_channel_is_left_out(portrait: Image, kind: str) -> None:
    assert apart(made(portrait, kind, "RGBA"), portrait) < PLAIN[kind][2] + 1


@pytest.mark.parametrize("kind", ["png", "webp", "avif", "heic", "gif", "tiff", "tiff, lzw"])
def test_grey_becomes_bgr(portrait: Image, kind: str) -> None:
    got = decode(made(portrait, kind, "L"), "a")
    assert got.shape == portrait.shape
    assert np.ptp(got, axis=2).max() <= 4


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", CHECKED)
def test_damage_in_the_middle_is_refused(portrait: Image, kind: str, share: float) -> None:
    data = bytearray(made(portrait, kind))
    at = int(len(data) * share)
    data[at : at + len(data) // 20] = bytes(len(data) // 20)
    said = why_refused(bytes(data))
    assert "is damaged" in said or "cannot be decoded" in said


@pytest.mark.parametrize("kind", ["gif", "webp", "avif", "png"])
def test_of_an_animation_the_first_picture_is_read(portrait: Image, kind: str) -> None:
    dark = as_pil(np.zeros_like(portrait))
    data = made(portrait, kind, save_all=True, append_images=[dark, dark])
    assert apart(data, portrait) < PLAIN[kind][2] + 1
    if kind == "gif":
        # What is wrong with the later pictures does not matter.
        assert apart(data[:-200], portrait) < PLAIN[kind][2] + 1


def test_of_many_pages_the_first_is_read(portrait: Image) -> None:
    page = as_pil(np.zeros_like(portrait))
    assert apart(made(portrait, "tiff", save_all=True, append_images=[page]), portrait) == 0


def test_without_their_end_mark_png_and_gif_are_read(portrait: Image) -> None:
    assert apart(made(portrait, "png")[:-12], portrait) == 0
    assert apart(made(portrait, "png")[:-5], portrait) == 0
    assert apart(made(portrait, "gif")[:-1], portrait) < PLAIN["gif"][2]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(pixels: bytes, side: int = 64) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_png_with_a_wrong_checksum_is_damaged(portrait: Image) -> None:
    data = bytearray(made(portrait, "png"))
    data[data.index(b"IEND") - 6] ^= 1
    assert "checksum" in why_refused(bytes(data))


def test_a_png_with_too_few_or_too_many_pixels_is_refused() -> None:
    rows = bytes(65 * 64)
    assert decode(png_of(zlib.compress(rows)), "a").shape == (64, 64, 3)
    assert "cannot be decoded" in why_refused(png_of(zlib.compress(rows[:2000])))
    assert "is cut short" in why_refused(png_of(zlib.compress(rows)[:-5]))
    assert "more pixels than it says" in why_refused(png_of(zlib.compress(bytes(10**7))))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("form", [".png", ".tiff", ".pgm"])
def test_few_bits_in_16_are_stretched(portrait: Image, bits: int, form: str) -> None:
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    grey[0, 0] = 255
    values = np.round(grey.astype(float) * (2**bits - 1) / 255).astype(np.uint16)
    data = cv2.imencode(form, values)[1].tobytes()
    assert apart(data, np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)) < 1


def test_eight_bits_in_16_stay_as_they_are(portrait: Image) -> None:
    data = cv2.imencode(".png", portrait.astype(np.uint16))[1].tobytes()
    assert apart(data, portrait) == 0


def test_avif_and_heic_of_10_bits_are_read(portrait: Image) -> None:
    wide = portrait.astype(np.uint16) * 4
    settings = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95]
    assert apart(cv2.imencode(".avif", wide, settings)[1].tobytes(), portrait) < 4
    values = np.ascontiguousarray(portrait[:, :, ::-1]).astype(np.uint16) * 257
    size = (portrait.shape[1], portrait.shape[0])
    file = pillow_heif.from_bytes(mode="RGB;16", size=size, data=values.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=90)
    assert apart(buffer.getvalue(), portrait) < 4


def tiff(values: np.ndarray, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "rgb", "metadata": None, **settings})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (64, 64)},
        {"compression": "zlib", "predictor": True},
        {"rowsperstrip": 7},
    ],
)
def test_tiffs_of_16_bits_are_read_however_they_are_laid_out(
    portrait: Image, settings: dict[str, Any]
) -> None:
    values = np.ascontiguousarray(portrait[:, :, ::-1]).astype(np.uint16) * 257
    assert apart(tiff(values, **settings), portrait) <= 1


def test_tiffs_that_opencv_reads_wrongly_are_told(portrait: Image) -> None:
    rgb = np.ascontiguousarray(portrait[:, :, ::-1]).astype(np.uint16) * 257
    apart_planes = tiff(np.moveaxis(rgb, 2, 0).copy(), planarconfig="separate")
    assert "colours apart" in why_refused(apart_planes)
    assert "32 bits" in why_refused(tiff(rgb.astype(np.float32)))
    packed = saved(as_pil(portrait), "TIFF", compression="zstd")
    assert "compression 50000" in why_refused(packed)


def test_a_raw_photo_is_not_read_as_its_preview(portrait: Image) -> None:
    small = np.ascontiguousarray(portrait[::4, ::4])
    assert "raw photo" in why_refused(tiff(small, subfiletype=1))
    dng = tiff(small, extratags=[(50706, 1, 4, bytes([1, 4, 0, 0]), True)])
    assert "raw photo" in why_refused(dng)


def test_parts_of_a_tiff_that_overlap_are_refused(portrait: Image) -> None:
    data = tiff(np.ascontiguousarray(portrait[::8, ::8]), rowsperstrip=1)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offsets = file.pages[0].tags["StripOffsets"]  # type: ignore[union-attr]
        counts = file.pages[0].tags["StripByteCounts"]  # type: ignore[union-attr]
    form = {3: "H", 4: "I"}
    number, length = counts.count, len(data) // 2
    wrong = bytearray(data)
    assert length < 2**16
    struct.pack_into(f"<{number}{form[offsets.dtype]}", wrong, offsets.valueoffset, *[8] * number)
    struct.pack_into(
        f"<{number}{form[counts.dtype]}", wrong, counts.valueoffset, *[length] * number
    )
    assert "overlap" in why_refused(bytes(wrong))


@pytest.mark.parametrize("kind", ["png", "webp", "avif", "heic", "gif", "tiff"])
def test_random_damage_raises_nothing_else(portrait: Image, kind: str) -> None:
    whole = made(np.ascontiguousarray(portrait[::4, ::4]), kind)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for _ in range(rng.integers(1, 20)):
            data[rng.integers(len(data) if seed % 2 else min(len(data), 300))] = rng.integers(256)
        try:
            assert decode(bytes(data), "a photo").dtype == np.uint8
        except PhotoError as error:
            assert "a photo" in str(error)


def test_without_its_library_heic_says_what_to_install(
    portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made(portrait, "heic")
    really = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name == "pi_heif":
            raise ImportError(name)
        return really(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    assert "ostiary[heic]" in why_refused(data)
