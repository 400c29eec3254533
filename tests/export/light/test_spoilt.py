"""Photos are spoilt as light, lens and camera would spoil them."""

import numpy as np
import pytest

from ostiary.edge.core.faces import exposure
from ostiary.edge.core.types import Face, Image
from ostiary.export.light import spoilt
from ostiary.export.light.spoilt import KINDS, Spoiling
from tests.support.fakes import face_at

FACE = face_at(30, 20, 60)


def picture() -> Image:
    """A textured picture of all values."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (15, 15, 3)).astype(np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))


def kind(name: str) -> Spoiling:
    return next(one for one in KINDS if one.name == name)


def spoil(name: str, grade: float, image: Image, face: Face = FACE) -> Image:
    return kind(name).spoil(image, face, grade, np.random.default_rng(0))


def test_light_and_pixels_are_each_others_inverse() -> None:
    values = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    assert np.array_equal(spoilt.to_pixels(spoilt.to_light(values)), values)


def test_a_stop_is_half_of_the_light() -> None:
    image = np.full((64, 64, 3), 180, np.uint8)
    for stops in (1, 2, 3):
        dark = spoilt.to_light(spoil("dark", stops, image)).mean()
        assert dark == pytest.approx(spoilt.to_light(image).mean() / 2**stops, rel=0.03)


def test_the_darker_the_noisier_and_gain_does_not_help() -> None:
    image = picture()
    noise = [exposure.exposure_of(spoil("night, gain up", n, image)).noise for n in (4, 6, 8)]
    assert noise == sorted(noise)
    assert noise[2] > 3 * noise[0]
    brightness = spoil("night, gain up", 4, image).mean()
    assert brightness == pytest.approx(image.mean(), rel=0.05)


def test_back_light_darkens_the_face_and_not_what_is_around_it() -> None:
    image = np.full((120, 120, 3), 120, np.uint8)
    shown = spoil("back light", 3, image)
    x1, y1, x2, y2 = (int(v) for v in FACE.box_px)
    assert shown[(y1 + y2) // 2, (x1 + x2) // 2].mean() < 60
    assert shown[-1, -1].mean() > 140


@pytest.mark.parametrize("one", KINDS, ids=lambda one: one.name)
def test_every_kind_gives_a_picture_and_spares_the_photo(one: Spoiling) -> None:
    image, before = picture(), picture()
    for grade in one.grades:
        shown = one.spoil(image, FACE, grade, np.random.default_rng(0))
        assert shown.dtype == np.uint8
        assert shown.ndim == 3
    assert np.array_equal(image, before)
    assert len({one.name for one in KINDS}) == len(KINDS)
