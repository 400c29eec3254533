"""Label errors on real faces: the known ones come first, and names swapped at random are found."""

from pathlib import Path

import pytest

from ostiary.edge.core.types import Floats
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT
from ostiary.export.faces import excluded
from ostiary.export.faces.crops import Crops, read_crops
from ostiary.export.faces.labels import find
from ostiary.export.graphs import run
from tests.support.export.mislabelled import moved
from tests.support.places import ROOT

pytestmark = [pytest.mark.long, pytest.mark.data]
LISTED = ROOT / "export" / "recipes" / "labels-lfw.json"


@pytest.fixture(scope="module")
def crops(bundle_dir: Path, faces_data: Path) -> Crops:
    return read_crops(bundles.read(bundle_dir), faces_data, "auto", lambda done, total: None)


@pytest.fixture(scope="module")
def rows(bundle_dir: Path, crops: Crops) -> Floats:
    entry = bundles.read(bundle_dir).model(FLOAT)
    return run.embed((bundle_dir / entry.file).read_bytes(), crops.images, entry.spec)


def test_the_known_errors_are_among_the_first_ten(crops: Crops, rows: Floats) -> None:
    found = find(rows, crops.person, most=10)
    names = [{crops.names[crops.person[row]] for row in (f.photo, f.other)} for f in found]
    assert names[0] == {"Joseph_Blatter", "Sepp_Blatter"}
    assert {crops.names[crops.person[row]] for row in found[0].wrong} == {"Joseph_Blatter"}
    assert {"Elena_Bovina", "Meghann_Shaughnessy"} in names
    # Seen by eye: a king in the place of a president, and a minister in that of another.
    surest = {crops.paths[item.photo].stem for item in found[:4]}
    assert {"Mahmoud_Abbas_0012", "Recep_Tayyip_Erdogan_0004"} <= surest
    assert all(item.expected <= 1 for item in found[:4])


@pytest.mark.parametrize("seed", range(10))
def test_nine_of_ten_names_swapped_at_random_are_found(
    seed: int, crops: Crops, rows: Floats
) -> None:
    before = {row for item in find(rows, crops.person, most=0) for row in item.wrong}
    person, photos = moved(crops.person, 10, seed)
    told = {row for item in find(rows, person, most=0) for row in item.wrong}
    assert len(told & set(photos)) >= 9
    assert len(told - set(photos) - before) <= 2


def test_the_list_of_the_shipped_curves_belongs_to_these_faces(crops: Crops) -> None:
    listed, digest = excluded.read(LISTED)
    by_id = dict(zip(crops.photos, crops.paths, strict=True))
    for photo in listed.photos:
        assert str(by_id[photo.id]).endswith(photo.path)
    kept = excluded.leave_out(crops, LISTED)
    assert kept.labels_left_out == len(listed.photos) == len(crops) - len(kept)
    assert kept.labels_sha256 == digest
