"""The upright head's fit on made-up looks, its command on real ones, and the recorded head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.faces.upright import DEGREES, LANDMARKS
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.heads import upright_file
from ostiary.export.bundle import release
from ostiary.export.upright import fit, looks
from ostiary.export.upright.looks import FaceLooks
from ostiary.export.upright.record import recorded
from tests.support.export.two_people import folder_of_people
from tests.support.places import ostiary_export

pytestmark = pytest.mark.long

QUIET = lambda stage: None  # noqa: E731


def made_up(people: int = 60) -> FaceLooks:
    """Looks that differ between upright and turned by a shift of a few columns, and noise."""
    rng = np.random.default_rng(0)
    degrees = np.tile(DEGREES, people * 2)
    rows = rng.normal(size=(len(degrees), LANDMARKS))
    rows[:, :4] += 3.0 * (degrees == 0)[:, None]
    photo = np.repeat(np.arange(people * 2), len(DEGREES))
    plain = np.ones(len(degrees), bool)
    return FaceLooks(rows.astype(np.float32), photo // 2, photo, degrees, plain, people, people * 2)


def test_the_fit_tells_turned_looks_and_counts_people_held_out() -> None:
    given = made_up()
    file = fit.fit(given, "a" * 64, "made up", QUIET)
    head = file.head()
    said = np.array([head.uprightness(row) for row in given.landmarks])
    assert np.mean((said >= 0) == (given.degrees == 0)) > 0.97
    assert (file.people, file.photos, file.data_set) == (60, 120, "made up")
    assert [row.turned for row in file.judged] == list(DEGREES)
    assert [row.faces for row in file.judged] == [120] * 4
    upright, *turned = (row.upright for row in file.judged)
    # The level leaves out one look of the 120: of people held out, not of those fitted.
    assert upright == pytest.approx(119 / 120, abs=1e-6)
    assert max(turned) < 0.2
    assert fit.fit(given, "a" * 64, "made up", QUIET) == file


def test_the_regression_is_where_its_slope_vanishes() -> None:
    given = made_up()
    rows, upright = given.landmarks.astype(np.float64), given.degrees == 0
    weights, bias = fit.regression(rows, upright, 0.1)
    missed = 1 / (1 + np.exp(-(rows @ weights + bias))) - upright
    spread = rows.std(0)
    slope = ((rows - rows.mean(0)) / spread).T @ missed + 0.1 * weights * spread
    assert np.abs(slope).max() < 1e-4
    assert abs(missed.sum()) < 1e-4


def test_too_few_people_are_refused() -> None:
    with pytest.raises(PhotoError, match="at least 50"):
        fit.fit(made_up(people=20), "a" * 64, "made up", QUIET)


def test_looks_are_the_same_each_time_and_know_their_turn(
    bundle: Bundle, tmp_path: Path, portrait: Image
) -> None:
    faces = folder_of_people(tmp_path / "faces", portrait)
    first, again = (looks.read_looks(bundle, faces, lambda done, total: None) for _ in range(2))
    assert (first.landmarks == again.landmarks).all()
    assert (first.people, first.photos) == (2, 2)
    assert set(first.degrees) == set(DEGREES)
    assert bundle.upright is not None
    head = bundle.upright.head()
    upright = np.array([head.uprightness(row) >= 0 for row in first.landmarks])
    assert (upright == (first.degrees == 0))[first.plain].all()


def test_varied_views_stay_on_their_side(bundle: Bundle) -> None:
    """A view between upright and turned would teach the head nothing but doubt."""
    assert looks.TILT_DEG + 15 < 90 - looks.TURNED_TILT_DEG


def test_the_recorded_head_is_in_every_bundle_with_its_landmark_model(bundle: Bundle) -> None:
    hashed = bundle.manifest.files[bundle.model("landmarks").file]
    assert bundle.upright == recorded(hashed) is not None
    assert recorded("0" * 64) is None


def test_attach_puts_a_head_in_and_signs(bundle_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    loaded = bundles.load(tmp_path / "bundle")
    hashed = loaded.manifest.files[loaded.model("landmarks").file]
    made = fit.fit(made_up(), hashed, "made up", QUIET)
    file = tmp_path / "mine.json"
    file.write_bytes(upright_file.to_text(made))
    release.attach(loaded, file, None, QUIET)
    assert bundles.load(loaded.path).upright == made


def test_the_check_counts_photos_and_frames_in_all_turns(
    bundle_dir: Path, tmp_path: Path, portrait: Image
) -> None:
    faces = folder_of_people(tmp_path / "faces", portrait)
    done = ostiary_export("check-upright", bundle_dir, "--faces", faces, "--k", "1", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["head"] is True
    kinds = [(row["as_they_are"], row["turned_upright"]) for row in told["photos"]]
    assert kinds == [(2, 0), (0, 2), (0, 2), (0, 2)]
    assert [row["turned"] for row in told["frames"]] == list(DEGREES)
    assert [row["usable"] for row in told["frames"]] == [2, 0, 0, 0]
