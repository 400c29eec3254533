"""`ostiary-export check-labels`: what it prints, draws and lists for planted errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.errors import ConfigError
from ostiary.export.cli import labels as command
from ostiary.export.cli.labels import check_labels
from ostiary.export.faces import excluded
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import run
from tests.support.export.mislabelled import made_up, moved, named
from tests.support.places import ostiary_export

FACES = Path("faces")
BAR = 0.1
"""Chance alone gives such a finding in one of ten folders only: not in this one."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> tuple[Crops, list[int]]:
    """Faces, of which six photos carry another name and a person of three photos has two names."""
    faces = made_up(people=300, seed=11)
    person, photos = moved(faces.person, 6, 11)
    kept = [name for name in named(faces, 6) if name not in person[photos]]
    twice = np.flatnonzero(faces.person == kept[0])[:2]
    person[twice] = person.max() + 1
    names = [f"[n{name:03d}]" for name in range(person.max() + 1)]
    crops = Crops(
        np.zeros((len(faces), 8, 8, 3), np.uint8),
        person,
        [f"{row:016x}" for row in range(len(faces))],
        names,
        {},
        {},
        [FACES / names[name] / f"{row}.jpg" for row, name in enumerate(person)],
    )
    monkeypatch.setattr(command, "read_crops", lambda *given: crops)
    monkeypatch.setattr(run, "embed", lambda model, images, spec: faces.rows)
    return crops, [*photos, *(int(row) for row in twice)]


def test_the_findings_the_sheet_and_the_list_agree(
    planted: tuple[Crops, list[int]],
    bundle_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    crops, wrong = planted
    sheet, listed = tmp_path / "errors.png", tmp_path / "exclude.json"
    check_labels(FACES, bundle_dir, sheet, listed, top=12, sure=BAR, data_set="made up", json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["people"]) == (len(crops), crops.people)
    assert len(told["findings"]) == 12
    assert told["sure"] == 7
    kinds = [item["kind"] for item in told["findings"] if item["sure"]]
    assert kinds.count("same-person") == 1
    expected = [item["expected"] for item in told["findings"]]
    assert expected == sorted(expected)
    for item in told["findings"]:
        row = crops.photos.index(item["photo"]["id"])
        assert item["photo"]["path"] == str(crops.paths[row].relative_to(FACES))
        assert item["photo"]["name"] == crops.names[crops.person[row]]
    found, _ = excluded.read(listed)
    assert found.data_set == "made up"
    assert {photo.id for photo in found.photos} == {crops.photos[row] for row in wrong}
    assert told["sheets"] == [str(sheet), str(tmp_path / "errors-2.png")]
    assert all(Path(page).is_file() for page in told["sheets"])
    reasons = {photo.reason.split(":")[0] for photo in found.photos}
    assert reasons == {"misplaced", "same-person"}
    (same,) = {photo.reason for photo in found.photos if photo.reason.startswith("same")}
    assert same.count("[n") == 2


def test_the_table_shows_the_top_ones_and_at_least_the_sure_ones(
    planted: tuple[Crops, list[int]], bundle_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_labels(FACES, bundle_dir, top=1, sure=BAR)
    told = capsys.readouterr().out
    assert "7 sure findings, 0 doubtful ones shown" in told
    check_labels(FACES, bundle_dir, top=9, sure=BAR)
    told = capsys.readouterr().out
    assert "7 sure findings, 2 doubtful ones shown" in told
    assert "misplaced: matches the other name's photo" in told
    # A stricter bar makes fewer findings sure.
    check_labels(FACES, bundle_dir, top=9, sure=0)
    assert "0 sure findings, 9 doubtful ones shown" in capsys.readouterr().out


def test_a_sheet_that_is_no_picture_is_refused_before_the_faces_are_read(bundle_dir: Path) -> None:
    with pytest.raises(ConfigError, match="not the name of a picture"):
        check_labels(FACES, bundle_dir, Path("errors.pdf"))


def test_the_command_needs_a_bundle_and_faces(bundle_dir: Path, tmp_path: Path) -> None:
    done = ostiary_export("check-labels", tmp_path)
    assert done.returncode == 2
    assert "--bundle" in done.stderr
    done = ostiary_export("check-labels", tmp_path / "none", "--bundle", bundle_dir)
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


@pytest.mark.data
@pytest.mark.long
def test_a_photo_in_another_folder_is_found(bundle_dir: Path, orl: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for photo in orl.glob("*/*"):
        target = faces / photo.parent.name / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo.read_bytes())
    folders = sorted(p for p in faces.iterdir() if p.is_dir())
    first = sorted(folders[3].iterdir())[0]
    first.rename(folders[20] / "moved.pgm")
    listed = tmp_path / "x.json"
    done = ostiary_export("check-labels", faces, "--bundle", bundle_dir, "--write", listed)
    assert done.returncode == 0, done.stderr
    found, _ = excluded.read(listed)
    assert f"{folders[20].name}/moved.pgm" in [photo.path for photo in found.photos]
    done = ostiary_export("evaluate", bundle_dir, "--faces", faces, "--exclude", listed, "--json")
    told = json.loads(done.stdout)
    assert told["labels_left_out"] == len(found.photos)
