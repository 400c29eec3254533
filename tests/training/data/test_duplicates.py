"""One photo twice is found in whatever form, and two photos are not taken for one."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.training.data import duplicates
from ostiary.training.data.duplicates import BITS, Twins, find, perceptual_hash, repeats


def picture(seed: int) -> Image:
    """112 x 112, as smooth as a face."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (9, 9, 3)).astype(np.float32)
    return cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")


def recompressed(image: Image) -> Image:
    found = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1)
    assert found is not None
    return np.asarray(found, np.uint8)


def resized(image: Image) -> Image:
    smaller = cv2.resize(image, (60, 60), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(smaller, (112, 112)), np.uint8)


FORMS: dict[str, Callable[[Image], np.ndarray]] = {
    "the very same": lambda image: image,
    "recompressed": recompressed,
    "resized": resized,
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=0.9, beta=20),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("two_people", [False, True])
def test_a_photo_is_found_in_every_form(form: str, two_people: bool) -> None:
    images = np.stack([*(picture(seed) for seed in range(20)), FORMS[form](picture(7))])
    person = np.arange(21) % 20
    person[20] = 8 if two_people else 7
    (found,) = find(images, person)
    assert found[:2] == (7, 20)
    assert found.bits == 0 or form not in ("the very same", "mirrored")


def test_two_people_are_held_to_another_limit_than_two_shots_of_one() -> None:
    blend = cv2.addWeighted(picture(1), 0.75, picture(50), 0.25, 0)
    images = np.stack([picture(1), blend])
    bits = int((perceptual_hash(images[0]) != perceptual_hash(images[1])).sum())
    assert duplicates.SAME_PERSON_BITS < bits <= duplicates.TWO_PEOPLE_BITS
    assert find(images, np.array([0, 0])) == []
    assert find(images, np.array([0, 1])) == [Twins(0, 1, bits)]
    assert find(images, np.array([0, 0]), same_person=bits) == [Twins(0, 1, bits)]


def test_bits_are_those_of_a_naive_loop_over_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 4)
    images = np.stack([picture(seed) for seed in range(11)])
    naive = []
    for i in range(11):
        for j in range(i + 1, 11):
            bits = []
            for other in (images[j], images[j][:, ::-1]):
                a, b = perceptual_hash(images[i]), perceptual_hash(np.ascontiguousarray(other))
                bits.append(sum(x != y for x, y in zip(a, b, strict=True)))
            naive.append(Twins(i, j, min(bits)))
    assert sorted(find(images, np.arange(11), two_people=BITS)) == naive


def test_of_three_alike_one_stays() -> None:
    chain = [Twins(0, 1, 5), Twins(0, 2, 9), Twins(1, 2, 3)]
    assert [twins.second for twins in repeats(chain)] == [1, 2]
    assert [twins.second for twins in repeats([Twins(0, 1, 5), Twins(1, 2, 3)])] == [1]


def test_nothing_has_no_twins() -> None:
    assert find(np.empty((0, 112, 112, 3), np.uint8), np.empty(0, np.int64)) == []
