"""Every kind of broken, odd and hostile picture."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from tests.support.places import write_png

EXIF_TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def refused(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    return str(caught.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_jpeg_is_refused(portrait_file: Path, share: float) -> None:
    data = portrait_file.read_bytes()
    portrait_file.write_bytes(data[: int(len(data) * share)])
    assert "cut short" in refused(portrait_file)


def test_a_truncated_png_is_refused(tmp_path: Path, portrait: Image) -> None:
    path = write_png(tmp_path / "a.png", portrait)
    path.write_bytes(path.read_bytes()[:-40])
    assert "cut short" in refused(path)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert "0 bytes" in refused(path)


def test_text_named_jpg_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("Dear door, please open.")
    assert "not a picture" in refused(path)


def test_one_pixel_is_too_small(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8))
    assert "1x1" in refused(path)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(12000, 9000))
    assert "12000x9000" in refused(path)
    assert "100 megapixels" in refused(path)


def test_a_large_jpeg_is_refused_by_its_header(tmp_path: Path, portrait_file: Path) -> None:
    data = bytearray(portrait_file.read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 9000, 12000)
    portrait_file.write_bytes(data)
    assert "12000x9000" in refused(portrait_file)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.jpg")
    assert f"{tmp_path} is not a file" in refused(tmp_path)


def test_a_name_with_a_nul_is_no_name(tmp_path: Path) -> None:
    assert "is not a file name" in refused(tmp_path / "a\0.jpg")


def test_a_pipe_and_a_device_are_no_files(tmp_path: Path) -> None:
    """Reading the pipe would wait for ever, reading the device would never end."""
    os.mkfifo(tmp_path / "a.jpg")
    for path in (tmp_path / "a.jpg", Path("/dev/zero")):
        assert f"{path} is not a file" in refused(path)


@pytest.mark.parametrize("kind", ["grey", "alpha", "sixteen", "bmp", "pgm"])
def test_other_kinds_become_bgr(tmp_path: Path, portrait: Image, kind: str) -> None:
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    made = {
        "grey": (tmp_path / "a.png", grey),
        "alpha": (tmp_path / "a.png", cv2.cvtColor(portrait, cv2.COLOR_BGR2BGRA)),
        "sixteen": (tmp_path / "a.png", portrait.astype(np.uint16) * 257),
        "bmp": (tmp_path / "a.bmp", portrait),
        "pgm": (tmp_path / "a.pgm", grey),
    }
    path, image = made[kind]
    got = read_photo(write_png(path, image))
    assert got.shape == portrait.shape
    assert got.dtype == np.uint8
    expected = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR) if kind in ("grey", "pgm") else portrait
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_a_photo_is_turned_upright_by_its_exif(tmp_path: Path, portrait: Image) -> None:
    _, data = cv2.imencode(".jpg", cv2.rotate(portrait, cv2.ROTATE_90_COUNTERCLOCKWISE))
    encoded = data.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(EXIF_TURNED) + 2) + EXIF_TURNED
    path = tmp_path / "turned.jpg"
    path.write_bytes(encoded[:2] + segment + encoded[2:])
    got = read_photo(path)
    assert got.shape == portrait.shape
    assert np.abs(got.astype(int) - portrait.astype(int)).mean() < 4


@pytest.mark.parametrize("seed", range(300))
def test_random_damage_never_raises_anything_else(portrait_file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(portrait_file.read_bytes())
    for _ in range(rng.integers(1, 20)):
        data[rng.integers(len(data) if seed % 2 else 700)] = rng.integers(256)
    portrait_file.write_bytes(data)
    try:
        assert read_photo(portrait_file).dtype == np.uint8
    except PhotoError as error:
        assert str(portrait_file) in str(error)


@pytest.mark.parametrize(
    "header",
    [
        b"BM" + bytes(16) + struct.pack("<ii", 30000, -30000) + bytes(30),
        b"P6\n# a comment\n30000 30000\n255\n" + bytes(30),
        b"P5 30000\t30000\n255\n" + bytes(30),
    ],
)
def test_small_files_that_declare_huge_pictures_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(header)
    assert "30000x30000" in refused(path)


def test_a_marker_without_a_length_hides_no_size(tmp_path: Path, portrait_file: Path) -> None:
    """FF 01 has no length; read as one, a small fake frame header could hide the real one."""
    data = portrait_file.read_bytes()
    fake = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 64, 64, 1) + bytes(3)
    hidden = b"\xff\x01" + struct.pack(">H", 2)
    real = bytearray(data)
    at = real.index(b"\xff\xc0")
    real[at + 5 : at + 9] = struct.pack(">HH", 9000, 12000)
    portrait_file.write_bytes(data[:2] + hidden[:2] + bytes(real[2:]) + fake)
    assert "12000x9000" in refused(portrait_file)
