"""What the augmentation does to a face, and that it does the same again."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.training.data.augment import DOMAINS, Augmentation, augment

NONE = Augmentation()
CHANCES = ("mirror", "jitter", "occlusion", "motion", "infrared", "low_light", "noise", "jpeg")


def face(seed: int = 0, side: int = 112) -> Image:
    """Smooth colours with a bright spot: blurs, shifts and covers all show."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 3, side), np.linspace(0, 3, side))
    phase = rng.uniform(0, 6, 3)
    waves = np.sin(across[..., None] * 3 + phase) * np.cos(down[..., None] * 2 + phase)
    image = (128 + 60 * waves).astype(np.uint8)
    image[side // 4, side // 3] = 255
    return image


def once(name: str, seed: int = 1, **strengths: object) -> Image:
    how = msgspec.structs.replace(NONE, **{name: 1.0}, **strengths)
    return augment(face(), np.random.default_rng(seed), how)


@pytest.mark.parametrize("name", ["none", "door", "night", *CHANCES])
@pytest.mark.parametrize("side", [12, 112])
def test_the_same_state_gives_the_same_picture_and_leaves_the_given_one(
    name: str, side: int
) -> None:
    how = DOMAINS.get(name) or msgspec.structs.replace(NONE, **{name: 1.0})
    given = face(side=side)
    kept = given.copy()
    for seed in range(20):
        made = augment(given, np.random.default_rng([seed, 3]), how)
        again = augment(given, np.random.default_rng([seed, 3]), how)
        assert made.dtype == np.uint8
        assert made.shape == given.shape
        assert made.flags["C_CONTIGUOUS"]
        assert np.array_equal(made, again)
        assert np.array_equal(given, kept)
        assert not np.shares_memory(made, given)


def test_none_changes_nothing_and_every_other_change_does() -> None:
    assert np.array_equal(augment(face(), np.random.default_rng(1), NONE), face())
    for name in CHANCES:
        first, second = (once(name, seed) for seed in (1, 2))
        assert not np.array_equal(first, face()), name
        assert name == "mirror" or not np.array_equal(first, second), f"{name} draws nothing"


def test_a_chance_is_how_often() -> None:
    how = Augmentation(mirror=0.3)
    rngs = (np.random.default_rng(seed) for seed in range(400))
    mirrored = [np.array_equal(augment(face(), rng, how), face()[:, ::-1]) for rng in rngs]
    assert 0.23 < np.mean(mirrored) < 0.37


def test_low_light_is_darker_and_noisier_by_the_photons_that_are_left() -> None:
    grey = np.full((112, 112, 3), 180, np.uint8)
    how = Augmentation(low_light=1.0, light=(0.1, 0.1), gain=1.0, electrons=3000, read_noise=5)
    made = augment(grey, np.random.default_rng(2), how).astype(float)
    electrons = (180 / 255) ** 2 * 0.1 * 3000
    # A value is 255 sqrt(light), so it varies by 255 / (2 sqrt(light)) of the light's spread.
    light = electrons / 3000
    spread = np.sqrt(electrons + 5**2) / 3000 * 255 / (2 * np.sqrt(light))
    assert made.mean() == pytest.approx(255 * np.sqrt(light), rel=0.02)
    assert made.std() == pytest.approx(spread, rel=0.03)


def test_gain_brings_back_the_light_and_not_the_photons() -> None:
    grey = np.full((112, 112, 3), 180, np.uint8)
    how = Augmentation(low_light=1.0, light=(0.1, 0.1), gain=64.0)
    shown = [augment(grey, np.random.default_rng(seed), how).astype(float) for seed in range(30)]
    means = [image.mean() for image in shown]
    assert max(means) == pytest.approx(180, rel=0.03), "never brighter than the photo was"
    spreads = [image.std() for image in shown]
    assert np.corrcoef(means, spreads)[0, 1] > 0.9, "its noise comes with it"


def test_infrared_is_grey_and_bright_in_the_middle() -> None:
    flat = np.full((112, 112, 3), 150, np.uint8)
    how = Augmentation(infrared=1.0, curve=1.0)
    made = [augment(flat, np.random.default_rng(seed), how) for seed in range(20)]
    for image in made:
        assert (image == image[..., :1]).all()
        assert image[56, 56, 0] >= image[[0, 0, -1, -1], [0, -1, 0, -1], 0].max()
    assert min(int(image[0, 0, 0]) for image in made) < 90
    red, blue = (np.zeros((112, 112, 3), np.uint8) for _ in range(2))
    red[..., 2], blue[..., 0] = 150, 150
    rngs = [np.random.default_rng(1), np.random.default_rng(1)]
    assert augment(red, rngs[0], how).mean() > 5 * augment(blue, rngs[1], how).mean()


def test_motion_spreads_a_point_along_a_line_and_loses_no_light() -> None:
    point = np.zeros((112, 112, 3), np.uint8)
    point[56, 56] = 255
    lengths = []
    for seed in range(40):
        how = Augmentation(motion=1.0)
        made = augment(point, np.random.default_rng(seed), how)[..., 0].astype(float)
        assert made.sum() == pytest.approx(255, rel=0.03)
        rows, columns = np.nonzero(made)
        places = np.stack([rows, columns]) - 56.0
        spread = np.linalg.svd(places - places.mean(1, keepdims=True), compute_uv=False)
        assert (spread[1:] < 2.5).all(), "a line is thin"
        lengths.append(np.hypot(np.ptp(rows), np.ptp(columns)))
    assert 4 < max(lengths) <= 0.06 * 112 + 2


def test_jitter_stays_within_its_pixels() -> None:
    point = np.zeros((112, 112, 3), np.uint8)
    point[40, 40] = 255
    for seed in range(40):
        how = Augmentation(jitter=1.0, turn_deg=0, zoom=0, shift=0.03)
        made = augment(point, np.random.default_rng(seed), how)[..., 0].astype(float)
        rows, columns = np.nonzero(made)
        middle = (
            np.average(rows, weights=made[rows, columns]),
            np.average(columns, weights=made[rows, columns]),
        )
        assert np.abs(np.array(middle) - 40).max() < 0.03 * 112 + 0.6


def test_occlusion_covers_the_mouth_the_eyes_or_somewhere_with_one_colour() -> None:
    given = face()
    covered = [(once("occlusion", seed) != given).any(axis=2) for seed in range(60)]
    for seed, where in enumerate(covered):
        assert len(np.unique(once("occlusion", seed)[where], axis=0)) == 1
        assert 0.005 < where.mean() < 0.45
    masks = [where for where in covered if where[95, 56] and not where[:50].any()]
    bars = [where for where in covered if where[52, 15:95].all() and not where[60:].any()]
    assert len(masks) >= 8
    assert len(bars) >= 8
    assert len(covered) - len(masks) - len(bars) >= 8


def test_what_is_out_of_range_is_refused() -> None:
    for text in ('{"mirror": 1.5}', '{"light": [0, 0.5]}', '{"quality": [0, 10]}', '{"fog": 1}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=Augmentation)


def test_night_is_always_grey_and_dark() -> None:
    for seed in range(20):
        made = augment(face(), np.random.default_rng(seed), DOMAINS["night"])
        assert (made == made[..., :1]).all()
        assert not np.array_equal(made, face())
        assert made.mean() < face().mean() + 10
