"""`ostiary-train verifier`: which photos it takes, and what it writes where."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import made_verifier
import msgspec
import numpy as np
import pytest

from edge.adapters.photos import read_photo
from edge.errors import BundleError, ConfigError
from edge.pipeline import Pipeline
from edge.runtime import bundle as bundles
from edge.runtime.bundle import sha256
from edge.runtime.verifier_file import VerifierFile
from export import finish
from export import table as tables
from scripts import trial
from training.cli import verifier as command


@pytest.fixture
def made() -> VerifierFile:
    return made_verifier.made("a" * 64, 3, int8="b" * 64)


def test_what_the_int8_was_calibrated_on_and_what_two_people_share_is_left_out(
    bundle_dir: Path, portrait_file: Path, tmp_path: Path, pipeline: Pipeline
) -> None:
    photos, faces = trial.sample_photos(), tmp_path / "faces"
    chosen = [photos / f"{name}.jpg" for name in ("obama", "biden", "obama2")]
    for person, photo in zip("abacd", [*chosen, portrait_file, portrait_file], strict=True):
        (faces / person).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, faces / person)
    folder = shutil.copytree(bundle_dir, tmp_path / "bundle")
    table = tables.read(folder / tables.FILE)
    used = sha256(chosen[2].read_bytes())[:16]
    held = {tables.FILE: tables.to_text(msgspec.structs.replace(table, photos=[used]))}
    finish.write_manifest(folder, bundles.read(folder).manifest, held)
    found = command._embedded(bundles.read(folder), faces)
    assert len(found.templates) == len(np.unique(found.person)) == 2
    for template, probe, photo in zip(found.templates, found.probes, chosen, strict=False):
        image = read_photo(photo)
        aligned = pipeline.align(image, pipeline.find(image)[0])
        assert float(template @ pipeline.embed(aligned)) > 0.999
        assert 0.9 < float(probe @ template) < 0.99999, "by the int8 encoder"


def test_what_is_written_is_json_and_a_page_with_the_diagram(
    tmp_path: Path, made: VerifierFile
) -> None:
    command._write(made, tmp_path / "verifier.json")
    assert json.loads((tmp_path / "verifier.json").read_bytes())["data_set"] == "made up <faces>"
    page = (tmp_path / "verifier.html").read_text()
    assert page.count("<svg") >= 2
    for item in made.float_float.reliability:
        assert f"{item.genuines} genuine" in page
    assert f"<dd>{made.float_int8.distance_fnmr:.4f}</dd>" in page
    assert f"<dd>{made.fnmr('float_int8'):.4f}</dd>" in page
    assert "Insisted on" not in page
    command._write(
        msgspec.structs.replace(made, insisted="it is <bad>"), tmp_path / "verifier.json"
    )
    assert "Insisted on: it is &lt;bad&gt;" in (tmp_path / "verifier.html").read_text()


def test_where_the_page_can_not_be_written_there_is_no_head(
    tmp_path: Path, made: VerifierFile
) -> None:
    (tmp_path / "verifier.html").mkdir()
    with pytest.raises(ConfigError, match="can not write"):
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
