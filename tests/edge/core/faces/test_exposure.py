"""Pictures in poor light are cleared, ordinary ones stay as they are, and nothing stays nothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.faces import exposure, quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Image
from tests.support.fakes import face_at


def crop(low: float = 40, high: float = 210, noise: float = 0.0, blur_px: float = 0.0) -> Image:
    """A drawn crop with eyes, brows and a mouth, in a range of grey values and with noise."""
    drawn = np.full((112, 112), 0.75, np.float32)
    drawn *= np.linspace(1.0, 0.6, 112, dtype=np.float32)
    for x in (38, 73):
        cv2.ellipse(drawn, (x, 52), (9, 4), 0, 0, 360, 0.1, -1)
        cv2.line(drawn, (x - 10, 42), (x + 10, 41), 0.0, 2)
    cv2.ellipse(drawn, (56, 92), (14, 4), 0, 0, 360, 0.2, -1)
    cv2.line(drawn, (56, 55), (52, 75), 1.0, 2)
    if blur_px:
        drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), blur_px), np.float32)
    values = low + (high - low) * drawn[..., None].repeat(3, 2)
    values = values + np.random.default_rng(0).normal(0, 1, values.shape) * noise
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def failed(aligned: Image) -> tuple[str, ...]:
    return quality.failures(quality.measure(face_at(0, 0), aligned), Limits())


@given(low=st.integers(40, 100), spread=st.integers(130, 150))
def test_an_ordinary_picture_is_the_very_same(low: int, spread: int) -> None:
    ordinary = crop(low, low + spread, noise=1.0)
    assert exposure.cleared(ordinary) is ordinary


@pytest.mark.parametrize(
    ("low", "high", "noise"),
    [(0, 100, 0.5), (4, 40, 0.5), (2, 14, 0.3), (180, 215, 0.0), (100, 110, 0.3)],
    ids=["dark skin in a dim room", "dim", "almost dark", "washed out", "flat"],
)
def test_a_face_in_poor_light_is_shown_in_an_ordinary_range(
    low: float, high: float, noise: float
) -> None:
    poor = crop(low, high, noise)
    shown = exposure.exposure_of(exposure.cleared(poor))
    assert exposure.exposure_of(poor).high < exposure.DIM or high - low < exposure.NARROW
    assert exposure.NARROW < shown.spread <= 1.2 * exposure.STRETCHED
    assert shown.low > 20
    assert shown.high < 220
    likeness = np.corrcoef(exposure.cleared(poor).ravel(), crop().ravel())[0, 1]
    assert likeness > 0.9
    assert failed(poor) == ()


def test_coloured_light_is_not_clipped() -> None:
    lit = (crop(0, 255) * np.array([1.0, 0.5, 0.2])).astype(np.uint8)
    found = exposure.exposure_of(lit)
    assert found.spread > exposure.NARROW
    assert found.high < exposure.DIM
    assert exposure.cleared(lit) is lit


def test_clearing_twice_changes_nothing_more() -> None:
    for picture in (crop(4, 40, 2.0), crop(noise=25.0), crop(180, 215)):
        once = exposure.cleared(picture)
        assert exposure.cleared(once) is once


def test_noise_is_smoothed_where_it_is_strong() -> None:
    noisy, clean = crop(noise=20.0), crop()
    assert exposure.exposure_of(noisy).noise > 4 * exposure.NOISY
    before, after = (
        np.abs(p.astype(float) - clean).mean() for p in (noisy, exposure.cleared(noisy))
    )
    assert after < before / 2


@pytest.mark.parametrize("value", [0, 3, 128, 255])
def test_of_one_colour_nothing_is_made(value: int) -> None:
    plain = np.full((112, 112, 3), value, np.uint8)
    assert exposure.cleared(plain) is plain
    assert "flat" in failed(plain)


def test_noise_in_place_of_a_face_is_too_dark() -> None:
    rng = np.random.default_rng(0)
    for mean, sigma in ((2, 2), (20, 5), (120, 40)):
        noise = np.clip(rng.normal(mean, sigma, (112, 112, 3)), 0, 255).astype(np.uint8)
        assert "too-dark" in failed(noise)


def test_sharpness_is_of_the_face_and_not_of_the_light() -> None:
    def sharpness(aligned: Image) -> float:
        return quality.measure(face_at(0, 0), aligned).sharpness

    bright = sharpness(crop())
    assert sharpness(crop(10, 60)) == pytest.approx(bright, rel=0.2)
    assert sharpness(crop(100, 180)) == pytest.approx(bright, rel=0.2)
    assert "blurred" in failed(crop(0, 255, blur_px=6.0))
    assert failed(crop(0, 255)) == failed(crop(0, 40)) == ()


def test_a_face_that_moved_sideways_is_not_sharp() -> None:
    moved = np.asarray(cv2.blur(crop(), (21, 1)), np.uint8)
    upwards = np.asarray(cv2.blur(crop(), (1, 21)), np.uint8)
    still = quality.measure(face_at(0, 0), crop()).sharpness
    for picture in (moved, upwards):
        assert quality.measure(face_at(0, 0), picture).sharpness < still / 10
