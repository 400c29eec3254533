"""The benchmarks of covered faces: what they count, and folders that show nobody."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.views import covered, worn
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.types import Image
from ostiary.edge.vision.pipeline import Pipeline
from tests.support.covers import sunglasses
from tests.support.fakes import curve, unit
from tests.support.places import write_png

PEOPLE = 12
SAME = unit([1.0, 0.0, 0.0])


def views() -> list[covered._View]:
    """Bare faces that all differ; covered ones are alike, and the head misses every third."""
    rng, found = np.random.default_rng(0), []
    for person in range(PEOPLE):
        own = unit(rng.normal(size=3))
        found.append(covered._View(person, False, False, own, own))
        found.append(covered._View(person, True, person % 3 != 0, SAME, SAME))
    return found


def test_strangers_in_masks_match_covered_templates_unless_the_gate_refuses_them() -> None:
    rows = covered.measure(Curves({1: curve()}, {}), views(), 4, 0.01, 20)
    let_in = {(row.gallery, row.strangers, row.gate): row.let_in.value for row in rows}
    assert let_in["covered", "covered", False] == 1.0
    # Four people of twelve slip through, as templates and as strangers.
    assert let_in["slipped", "covered", True] == 0.0
    assert 0.1 < let_in["mixed", "covered", True] < 0.4
    assert let_in["bare", "covered", True] <= let_in["bare", "covered", False]
    # A gallery that only the gate makes is not measured without it.
    assert ("slipped", "covered", False) not in let_in
    assert {row.frames for row in rows} == {PEOPLE}
    assert not covered.measure(Curves({1: curve()}, {}), views(), 13, 0.01, 20)


def test_a_folder_that_shows_nobody_is_an_error_and_no_traceback(
    bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert covered.main(["--bundle", str(bundle_dir), "--faces", str(tmp_path)]) == 2
    assert "subfolder" in capsys.readouterr().err


def test_worn_covers_are_counted_where_a_clear_face_is_found(
    bundle_dir: Path,
    pipeline: Pipeline,
    portrait: Image,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    box = pipeline.find(portrait)[0].box_px
    points = pipeline.landmarks(portrait, box).reshape(68, 2) * (box[2:] - box[:2]) + box[:2]
    for name, photo in (("worn", sunglasses(portrait, points)), ("bare", portrait)):
        (tmp_path / name).mkdir()
        write_png(tmp_path / name / "1.png", photo)
        write_png(tmp_path / name / "wall.png", np.full((240, 320, 3), 90, np.uint8))
    words = ["--bundle", str(bundle_dir), "--json"]
    given = ["--covered", str(tmp_path / "worn"), "--bare", str(tmp_path / "bare")]
    assert worn.main([*words, *given]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["folder"], row["photos"], row["faces"], row["clear"]) for row in told] == [
        ("covered", 2, 1, 1),
        ("bare", 2, 1, 1),
    ]
    assert [row["look_covered"]["value"] for row in told] == [1.0, 0.0]
    assert worn.main(words) == 2
    assert "no folder" in capsys.readouterr().err
