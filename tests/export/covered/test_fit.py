"""The covered head: its fit on made-up looks, its commands, and the head that is recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.faces.covered import SIDE
from ostiary.edge.core.types import Image
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.heads import covered_file
from ostiary.edge.runtime.heads.covered_file import CoveredFile
from ostiary.export.bundle import release
from ostiary.export.covered import check, fit, looks, network
from ostiary.export.covered.covers import COVERS, HARMLESS
from ostiary.export.covered.looks import BARE, CoverLooks
from ostiary.export.covered.record import recorded
from tests.support.export.two_people import folder_of_people
from tests.support.places import ostiary_export

pytestmark = pytest.mark.long

QUIET = lambda stage: None  # noqa: E731


def made_up(people: int = 60) -> CoverLooks:
    """Noise for faces; a cover is a flat patch in its lower half."""
    rng = np.random.default_rng(0)
    kinds = np.tile([BARE, "surgical mask", "clear glasses", "scarf"], people)
    pictures = rng.integers(0, 256, (len(kinds), SIDE, SIDE, 3)).astype(np.uint8)
    pictures[np.isin(kinds, list(COVERS)), SIDE // 2 :] = 128
    person = np.repeat(np.arange(people), 4)
    return CoverLooks(pictures, kinds, person, np.ones(len(kinds), bool), people, people)


@pytest.fixture(scope="module")
def fitted() -> CoveredFile:
    return fit.fit(made_up(), "made up", ["scarf"], QUIET, epochs=8)


def test_the_fit_tells_covers_and_judges_people_held_out(fitted: CoveredFile) -> None:
    fitted.check()
    assert (fitted.people, fitted.judged_people, fitted.photos) == (48, 12, 60)
    assert [(row.kind, row.faces) for row in fitted.judged] == [
        ("bare", 12), ("clear glasses", 12), ("surgical mask", 12), ("scarf", 12)
    ]  # fmt: skip
    shares = {row.kind: row.covered for row in fitted.judged}
    # One of twelve is more than the level refuses; a left out kind is judged all the same.
    assert shares["bare"] <= 1 / 12
    assert shares["surgical mask"] == shares["scarf"] == 1.0
    head, given = fitted.head(), made_up()
    said = np.array([head.coveredness(picture) >= 0 for picture in given.pictures])
    assert np.mean(said == given.covered) > 0.95


def test_a_kind_that_is_left_out_is_not_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []

    def train(pictures: Image, covered: Any, say: Any, epochs: int) -> list[Any]:
        shown.append(int(covered.sum()))
        raise BundleError("enough")

    monkeypatch.setattr(network, "train", train)
    for left_out in ([], ["scarf"]):
        with pytest.raises(BundleError, match="enough"):
            fit.fit(made_up(), "made up", left_out, QUIET)
    assert shown == [96, 48]


def test_bad_wishes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhotoError, match="at least 50"):
        fit.fit(made_up(people=20), "made up", [], QUIET)
    with pytest.raises(PhotoError, match="no cover is called wig"):
        fit.fit(made_up(), "made up", ["wig"], QUIET)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(BundleError, match="PyTorch"):
        fit.fit(made_up(), "made up", [], QUIET)


def test_looks_are_the_same_each_time_and_know_their_kind(
    bundle: Bundle, tmp_path: Path, portrait: Image
) -> None:
    faces = folder_of_people(tmp_path / "faces", portrait)
    first, again = (looks.read_looks(bundle, faces, lambda done, total: None) for _ in range(2))
    assert (first.pictures == again.pictures).all()
    assert (first.people, first.photos) == (2, 2)
    assert first.pictures.shape[1:] == (SIDE, SIDE, 3)
    assert list(first.kind[first.plain]).count(BARE) == 2
    assert set(first.kind) <= {BARE, *COVERS, *HARMLESS}
    assert (first.covered == ~np.isin(first.kind, [BARE, *HARMLESS])).all()
    assert first.plain.sum() * (1 + looks.VARIED_VIEWS) == len(first.kind)


def test_the_recorded_head_is_in_every_bundle_and_small(bundle_dir: Path, bundle: Bundle) -> None:
    assert bundle.covered == recorded()
    assert (bundle_dir / "covered.json").stat().st_size < 300_000
    recorded().check()


def test_attach_puts_a_head_in_and_signs(
    bundle_dir: Path, tmp_path: Path, fitted: CoveredFile
) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    file = tmp_path / "mine.json"
    file.write_bytes(covered_file.to_text(fitted))
    release.attach(bundles.load(tmp_path / "bundle"), file, None, QUIET)
    assert bundles.load(tmp_path / "bundle").covered == fitted


def test_the_check_counts_drawn_and_bare_faces(
    bundle_dir: Path, tmp_path: Path, portrait: Image
) -> None:
    faces = folder_of_people(tmp_path / "faces", portrait)
    worn = tmp_path / "worn.json"
    worn.write_text('["obama/1.png"]')
    given = ["--faces", faces, "--worn", worn, "--json"]
    done = ostiary_export("check-covered", bundle_dir, *given)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    rows = {row["kind"]: row for row in told["drawn"]}
    assert (rows["bare"]["photos"], rows["bare"]["taken"]) == (2, 2)
    assert rows["all covers"]["photos"] == 2 * check.DRAWN
    assert rows["all covers"]["taken"] == 0
    for row in rows.values():
        fates = (row["covered"], row["otherwise"], row["no_face"], row["taken"])
        assert sum(fates) == row["photos"]
    lights = [share["what"] for share in told["bare"]]
    assert lights[: 1 + len(check.LIGHTS)] == ["bare", *check.LIGHTS]
    assert (lights[-1], told["bare"][-1]["faces"]) == ("bare, without 1 worn covers", 1)
    assert told["look_covered"] == []
    worn.write_text("{}")
    refused = ostiary_export("check-covered", bundle_dir, *given)
    assert refused.returncode == 2
    assert "worn.json" in refused.stdout + refused.stderr


def test_without_a_head_there_is_nothing_to_check(bundle: Bundle, tmp_path: Path) -> None:
    import dataclasses

    with pytest.raises(BundleError, match=r"no covered\.json"):
        check.check(dataclasses.replace(bundle, covered=None), tmp_path, lambda d, t: None)
