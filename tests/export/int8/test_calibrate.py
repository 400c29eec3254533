"""Calibration takes many different real faces, and refuses others unless the user insists."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ostiary.edge.errors import PhotoError
from ostiary.export.faces.crops import Crops
from ostiary.export.int8 import calibrate
from ostiary.export.records.calibration_table import Table
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731


def run(given: Crops, insist: bool = False) -> Table:
    return calibrate.calibrate(normalised(), SPEC, given, "mine", "minmax", insist, QUIET)


def test_one_photo_per_person_is_chosen_and_people_with_few_photos_first() -> None:
    whole = crops(people=20, images=3)
    alone = np.flatnonzero((whole.person >= 12) | (np.arange(60) % 3 == 0))
    given = whole.only(alone)
    chosen = calibrate.choose(given, count=12)
    assert sorted(chosen.person.tolist()) == list(range(12))
    more = calibrate.choose(given, count=15)
    assert len(set(more.person.tolist())) == 15
    assert calibrate.choose(given, 12).photos == chosen.photos


def tiny() -> Crops:
    return crops(people=20, images=2)


def faceless() -> Crops:
    return dataclasses.replace(crops(people=70, images=1), missing={"no face": 200})


def one_person() -> Crops:
    rng = np.random.default_rng(0)
    face = crops(people=1, images=1).images
    images = np.clip(face + rng.normal(0, 3, (70, *face.shape[1:])), 0, 255).astype(np.uint8)
    return dataclasses.replace(crops(people=70, images=1), images=images)


def twice() -> Crops:
    given = crops(people=70, images=1)
    return dataclasses.replace(given, photos=["0" * 16] * 70)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tiny, "20 photos of as many people, at least 32 are needed"),
        (faceless, "only 70 of 270 photos show a face"),
        (one_person, "different people look alike"),
        (twice, "69 photos are duplicates"),
    ],
)
def test_photos_unfit_for_calibration_are_refused_unless_insisted_on(
    given: Callable[[], Crops], message: str
) -> None:
    with pytest.raises(PhotoError, match=message):
        run(given())
    assert message.split(",", maxsplit=1)[0] in run(given(), insist=True).insisted


def test_a_good_set_needs_no_insisting_and_is_named_in_the_table() -> None:
    table = run(crops(people=80, images=1))
    assert table.insisted == ""
    assert (table.data_set, table.images, len(table.photos)) == ("mine", 80, 80)
    assert all(item.coverage == 1 for item in table.ranges.values()), "minmax clips nothing"
