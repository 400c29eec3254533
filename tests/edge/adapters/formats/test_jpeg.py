"""JPEGs that libjpeg would patch are refused; those that lack nothing but a mark are read."""

from typing import Any

import cv2
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from tests.support.inputs.pictures import apart, as_pil, saved, why_refused

WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {},
    "full colour": {"subsampling": "4:4:4"},
    "cmyk": {},
}
MODES = {"grey": "L", "cmyk": "CMYK"}


def made(image: Image, way: str) -> bytes:
    return saved(as_pil(image, MODES.get(way, "RGB")), "JPEG", quality=90, **WAYS[way])


def expected(image: Image, way: str) -> Image:
    if way != "grey":
        return image
    grey = np.asarray(as_pil(image, "L"))
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_whole_one_is_read(portrait: Image, way: str) -> None:
    assert apart(made(portrait, way), expected(portrait, way)) < 4


def test_one_without_its_end_mark_is_read(portrait: Image, way: str) -> None:
    data = made(portrait, way)
    assert data.endswith(b"\xff\xd9")
    assert apart(data[:-2], expected(portrait, way)) < 4


def test_bytes_after_the_end_do_not_matter(portrait: Image, way: str) -> None:
    data = made(portrait, way)
    for after in (bytes(64), b"\0\0\0\x18ftypmp42", data):
        assert apart(data + after, expected(portrait, way)) < 4


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_one_that_was_cut_is_refused(portrait: Image, way: str, share: float) -> None:
    data = made(portrait, way)
    assert "is cut short" in why_refused(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_one_that_was_cut_and_then_ended_is_refused(
    portrait: Image, way: str, share: float
) -> None:
    data = made(portrait, way)
    assert "is damaged" in why_refused(data[: int(len(data) * share)] + b"\xff\xd9")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "lost"])
def test_damage_in_the_pixels_is_refused(
    portrait: Image, way: str, share: float, kind: str
) -> None:
    data = made(portrait, way)
    at, length = int(len(data) * share), len(data) // 5
    noise = np.random.default_rng(0).integers(0, 255, length, np.uint8).tobytes()
    patch = {"zeros": bytes(length), "ones": b"\xff" * length, "noise": noise, "lost": b""}[kind]
    said = why_refused(data[:at] + patch + data[at + length :])
    assert "is damaged" in said or "cannot be decoded" in said or "is cut short" in said


def test_half_a_scan_of_zeros_with_its_end_mark_is_damaged(portrait: Image) -> None:
    data = made(portrait, "baseline")
    half = (len(data) - data.index(b"\xff\xda")) // 2
    assert "is damaged" in why_refused(data[:-half] + bytes(half - 2) + data[-2:])


def test_a_lost_restart_mark_is_damage(portrait: Image) -> None:
    data = made(portrait, "restarts")
    at = data.index(b"\xff\xd3")
    assert "is damaged" in why_refused(data[:at] + data[at + 2 :])


def test_wrong_huffman_tables_are_damage(portrait: Image) -> None:
    data = bytearray(made(portrait, "baseline"))
    at = data.rindex(b"\xff\xc4") + 5
    data[at : at + 4] = b"\x00\x01\x05\x00"
    said = why_refused(bytes(data))
    assert "is damaged" in said or "cannot be decoded" in said


def test_twelve_bits_are_told(portrait: Image) -> None:
    data = bytearray(made(portrait, "baseline"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert "cannot be decoded" in why_refused(bytes(data))


def test_the_end_mark_of_a_thumbnail_is_not_the_photos(portrait: Image) -> None:
    data = made(portrait, "baseline")
    inner = saved(as_pil(portrait).resize((40, 40)), "JPEG")
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    with_one = data[:2] + segment + data[2:]
    assert apart(with_one[:-2], portrait) < 4
    assert "is cut short" in why_refused(with_one[: len(with_one) * 2 // 3])
