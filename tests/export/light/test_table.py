"""The table of quality: what is counted, and that one command prints it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.light import looks, rows
from ostiary.export.light.looks import SeenPerson, SpoiltLook
from ostiary.export.light.rows import DARK, EVERYBODY, OTHERS, SpoiltRow
from tests.support.places import ostiary_export, refused, write_png

pytestmark = pytest.mark.long

PEOPLE = 20
GOOD = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0)


def like(template: Floats, score: float) -> Floats:
    """An embedding with this cosine to a template, at right angles to everybody else's."""
    beside = np.zeros_like(template)
    beside[-1] = np.sqrt(1 - score**2)
    return score * template + beside


def seen(score: float, tone: float, number: int, dim: int) -> SeenPerson:
    template = np.eye(dim, dtype=np.float32)[number]
    made = [
        SpoiltLook("as it is", 0.0, GOOD, like(template, 0.9)),
        SpoiltLook("dark", 1, GOOD, like(template, score), ("too-dark",) if number == 1 else ()),
        SpoiltLook("dark", 2),
    ]
    return SeenPerson(f"p{number}", template, made, tone)


def of(found: list[SpoiltRow], what: str, grade: float, group: str = EVERYBODY) -> SpoiltRow:
    (row,) = [r for r in found if (r.what, r.grade, r.group) == (what, grade, group)]
    return row


def test_misses_refusals_and_faces_not_found_are_counted_by_skin(bundle: Bundle) -> None:
    people = [seen(0.1 if n < 2 else 0.9, 40.0 + n, n, bundle.dim) for n in range(PEOPLE)]
    found = rows.table(bundle, people)
    assert (found.people, found.darkest, found.tone_deg) == (PEOPLE, 2, 41.0)
    dark = of(found.by_kind, "dark", 1)
    assert (dark.photos, dark.found, dark.refused) == (PEOPLE, 1.0, 1 / PEOPLE)
    assert dark.fnmr.value == dark.fnir.value == pytest.approx(2 / PEOPLE)
    assert dark.fnmr.low < dark.fnmr.value < dark.fnmr.high
    assert of(found.by_kind, "dark", 1, DARK).kept_out.value == 1.0
    assert of(found.by_kind, "dark", 1, OTHERS).kept_out.value == 0.0
    unseen = of(found.by_kind, "dark", 2)
    assert (unseen.found, unseen.kept_out.value) == (0.0, 1.0)
    assert np.isnan(unseen.score)
    assert of(found.by_kind, "as it is", 0.0).fmr.value == 0.0
    (sharp,) = [r for r in found.by_measure if r.what == "sharpness"]
    assert (sharp.grade, sharp.photos) == (250, PEOPLE)


def test_an_impostor_who_matches_is_a_false_match(bundle: Bundle) -> None:
    people = [seen(0.9, 40.0, n, bundle.dim) for n in range(PEOPLE)]
    people[0].looks[0] = SpoiltLook("as it is", 0.0, GOOD, people[1].template)
    row = of(rows.table(bundle, people).by_kind, "as it is", 0.0)
    assert row.fmr.value == pytest.approx(1 / (PEOPLE * (PEOPLE - 1)))


def test_skin_is_darker_the_lower_its_angle() -> None:
    angles = []
    for skin in ((190, 205, 235), (110, 140, 190), (50, 70, 100)):
        angles.append(looks.tone_of(np.full((112, 112, 3), skin, np.uint8)))
    assert angles == sorted(angles, reverse=True)
    assert angles[0] > 40
    assert angles[2] < 0


@pytest.fixture
def album(tmp_path: Path, portrait: Image) -> Path:
    """Two "people" of two photos each: the portrait as it is, and mirrored."""
    for name, shown in (("eileen", portrait), ("neelie", portrait[:, ::-1])):
        (tmp_path / name).mkdir()
        write_png(tmp_path / name / "1.png", shown)
        small = cv2.resize(np.ascontiguousarray(shown), None, fx=0.8, fy=0.8)
        write_png(tmp_path / name / "2.png", np.asarray(small, np.uint8))
    return tmp_path


def test_one_command_prints_the_table(bundle_dir: Path, album: Path) -> None:
    done = ostiary_export("evaluate", bundle_dir, "--faces", album, "--quality", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["people"] == 2
    kept = {r["what"]: r["found"] for r in found["by_kind"] if r["grade"] == 4}
    assert kept["dark"] == kept["back light"] == 1.0
    assert {r["what"] for r in found["by_measure"]} == set(rows.BINS)
    shown = ostiary_export("evaluate", bundle_dir, "--faces", album, "--quality")
    for said in ("dark 4 stops", "noise 0 to 0.01", "darkest tenth", "FNMR"):
        assert said in shown.stdout


def test_the_table_needs_two_photos_each_and_stores_nothing(
    bundle_dir: Path, album: Path, tmp_path: Path
) -> None:
    said = refused(
        "evaluate", bundle_dir, "--faces", album, "--quality", "--write", program="export"
    )
    assert "no DET curve to store" in said
    (album / "neelie" / "2.png").unlink()
    with pytest.raises(PhotoError, match="1 people on two photos"):
        looks.people_in(album)
    with pytest.raises(PhotoError, match="there is no folder"):
        looks.people_in(tmp_path / "nobody")
