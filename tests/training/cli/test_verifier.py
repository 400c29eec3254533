"""`ostiary-train verifier`: which photos it takes, and what it writes where."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.errors import BundleError, ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import sha256
from ostiary.edge.runtime.heads.verifier_file import VerifierFile
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.bundle import release
from ostiary.export.records import calibration_table as tables
from ostiary.training.cli import verifier as command
from ostiary.training.tasks import verifier as training
from scripts import trial
from tests.support import made_verifier
from tests.support.places import write_png


@pytest.fixture
def made() -> VerifierFile:
    return made_verifier.made("a" * 64, 3, int8="b" * 64)


def test_what_the_int8_was_calibrated_on_and_what_two_people_share_is_left_out(
    bundle_dir: Path, portrait_file: Path, tmp_path: Path, pipeline: Pipeline
) -> None:
    photos, faces = trial.sample_photos(), tmp_path / "faces"
    chosen = [photos / f"{name}.jpg" for name in ("obama", "biden", "obama2")]
    for person, photo in zip("abacd", [*chosen, *[portrait_file] * 2], strict=True):
        (faces / person).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, faces / person)
    # What c has beside it does not count either: c may be d.
    write_png(faces / "c" / "mirrored.png", read_photo(chosen[0])[:, ::-1])
    found = command._embedded(calibrated_on(bundle_dir, tmp_path / "bundle", chosen[2:]), faces)
    assert found.person.tolist() == [0, 1]
    assert len(found.templates) == 2
    assert found.probes is not None
    for template, probe, photo in zip(found.templates, found.probes, chosen, strict=False):
        image = read_photo(photo)
        aligned = pipeline.align(image, pipeline.find(image)[0])
        assert float(template @ pipeline.embed(aligned)) > 0.999
        assert 0.9 < float(probe @ template) < 0.99999, "by the int8 encoder"


def calibrated_on(bundle_dir: Path, folder: Path, photos: list[Path]) -> bundles.Bundle:
    """The bundle, as if some photos had calibrated its int8 encoder."""
    shutil.copytree(bundle_dir, folder)
    used = [sha256(photo.read_bytes())[:16] for photo in photos]
    table = msgspec.structs.replace(tables.read(folder / tables.FILE), photos=used)
    held = {tables.FILE: tables.to_text(table)}
    release.write_manifest(folder, bundles.read(folder).manifest, held)
    return bundles.read(folder)


def test_where_the_int8_was_calibrated_on_all_nobody_is_left(
    bundle_dir: Path, tmp_path: Path
) -> None:
    photos, faces = trial.sample_photos(), tmp_path / "faces"
    chosen = [photos / "obama.jpg", photos / "biden.jpg"]
    for person, photo in zip("ab", chosen, strict=True):
        (faces / person).mkdir(parents=True)
        shutil.copy(photo, faces / person)
    loaded = calibrated_on(bundle_dir, tmp_path / "bundle", chosen)
    with pytest.raises(PhotoError, match=r"none of the 2 photos .* can be used: they calibrated"):
        command._embedded(loaded, faces)


@pytest.mark.parametrize(("given", "kept"), [("", "caf\\udce9"), ("\udcff x", "\\udcff x")])
def test_a_name_that_is_not_utf_8_is_kept_as_its_bytes(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    """The folder's or the one given: both end in the file and on its page."""
    encoder = bundles.read(bundle_dir).encoder_id

    def train(_: object, __: str, data_set: str, *more: object) -> VerifierFile:
        return msgspec.structs.replace(made_verifier.made(encoder, 3), data_set=data_set)

    monkeypatch.setattr(command, "_embedded", lambda bundle, faces: None)
    monkeypatch.setattr(training, "train", train)
    faces = Path(os.fsdecode(b"caf\xe9"))
    command.make(bundle_dir, faces, tmp_path / "head.json", data_set=given)
    assert json.loads((tmp_path / "head.json").read_bytes())["data_set"] == kept
    assert kept in (tmp_path / "head.html").read_text()


def test_what_is_written_is_json_and_a_page_with_the_diagram(
    tmp_path: Path, made: VerifierFile
) -> None:
    command._write(made, tmp_path / "verifier.json")
    assert json.loads((tmp_path / "verifier.json").read_bytes())["data_set"] == "made up <faces>"
    page = (tmp_path / "verifier.html").read_text()
    assert page.count("<svg") >= 2
    for item in made.float_float.reliability:
        assert f"{item.genuines} genuine" in page
    assert made.float_int8 is not None
    assert f"<dd>{made.float_int8.distance_fnmr:.4f}</dd>" in page
    assert f"<dd>{made.fnmr('float_int8'):.4f}</dd>" in page
    assert "should not be used" not in page
    command._write(
        msgspec.structs.replace(made, insisted="it is <bad>"), tmp_path / "verifier.json"
    )
    assert (
        "Written although it should not be used: it is &lt;bad&gt;"
        in (tmp_path / "verifier.html").read_text()
    )


def test_where_the_page_cannot_be_written_there_is_no_head(
    tmp_path: Path, made: VerifierFile
) -> None:
    (tmp_path / "verifier.html").mkdir()
    with pytest.raises(ConfigError, match="cannot write"):
        command._write(made, tmp_path / "verifier.json")
    assert not (tmp_path / "verifier.json").exists()


@pytest.mark.parametrize("name", ["page.html", ".", "none/verifier.json", "taken.json", "own.json"])
def test_where_nothing_could_be_written_nothing_is_begun(tmp_path: Path, name: str) -> None:
    """The bundle is not there: who got so far would say so."""
    (tmp_path / "taken.html").mkdir()
    (tmp_path / "own.json").mkdir()
    with pytest.raises(ConfigError):
        command.make(tmp_path / "no-bundle", tmp_path, tmp_path / name)
    with pytest.raises(BundleError):
        command.make(tmp_path / "no-bundle", tmp_path, tmp_path / "good.json")
