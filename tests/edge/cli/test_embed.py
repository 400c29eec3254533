"""`ostiary embed --as`: a probe is what the door computes, a template what enrollment stores."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import open_pipeline
from ostiary.export.bundle import build, release, signing
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from tests.support.places import ostiary, refused


@pytest.fixture(scope="module")
def in_int8(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose int8 encoder this processor computes as recorded; not every one does."""
    if open_pipeline(bundle).precision == "int8":
        return bundle
    out = tmp_path_factory.mktemp("other") / "faceplugin-512"
    build.build(recipe.load("faceplugin-512"), out, Options(), lambda stage: None)
    if open_pipeline(bundles.load(out)).precision != "int8":
        pytest.skip("this processor computes no recipe's int8 encoder as recorded")
    return bundles.load(out)


def embedded(bundle: Path, photo: Path, *options: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The first row of the array, and the summary."""
    listed, out = photo.with_name("list.txt"), photo.with_name("rows.npy")
    listed.write_text(f"{photo}\n")
    done = ostiary("embed", "--bundle", bundle, "--list", listed, "--out", out, "--json", *options)
    assert done.returncode == 0, done.stderr
    return np.load(out)[0], json.loads(done.stdout)


def test_a_probe_is_the_doors_and_a_template_is_in_float(
    in_int8: Bundle, portrait: Image, portrait_file: Path
) -> None:
    pipeline = open_pipeline(in_int8)
    aligned = pipeline.align(portrait, pipeline.find(portrait)[0])
    probe, told = embedded(in_int8.path, portrait_file, "--as", "probe")
    assert (told["as"], told["precision"]) == ("probe", "int8")
    assert np.allclose(probe, pipeline.probe(aligned), atol=1e-6)
    template, told = embedded(in_int8.path, portrait_file, "--as", "template")
    assert told["as"] == "template"
    assert told["precision"] != "int8"
    assert np.allclose(template, pipeline.embed(aligned), atol=1e-6)
    assert 0.98 < float(template @ probe) < 0.99999
    usual, told = embedded(in_int8.path, portrait_file)
    assert told["as"] == "template"
    assert (usual == template).all()


def test_a_bundle_without_int8_says_that_its_probes_are_in_float(
    bundle_dir: Path, tmp_path: Path, portrait_file: Path
) -> None:
    folder = shutil.copytree(bundle_dir, tmp_path / "float")
    (folder / bundles.INT8_FILE).unlink()
    manifest = bundles.read(bundle_dir).in_float().manifest
    files = {name: digest for name, digest in manifest.files.items() if name != bundles.INT8_FILE}
    release.write_manifest(folder, msgspec.structs.replace(manifest, files=files), {})
    signing.sign_bundle(folder, signing.read_seed(signing.ensure_default_key(lambda line: None)))
    probe, told = embedded(folder, portrait_file, "--as", "probe")
    assert told["as"] == "probe"
    assert told["precision"] != "int8"
    assert (probe == embedded(folder, portrait_file)[0]).all()


def test_another_role_is_refused(bundle_dir: Path, portrait_file: Path) -> None:
    done = ostiary(
        "embed", "--bundle", bundle_dir, "--list", portrait_file, "--out", "x.npy", "--as", "both"
    )
    assert done.returncode == 2
    assert "probe" in done.stderr


def test_embedding_nothing_is_an_error(bundle_dir: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("nope.jpg\n")
    text = refused("embed", "--bundle", bundle_dir, "--list", listed, "--out", tmp_path / "e.npy")
    assert "none of 1 photos" in text


def test_a_path_that_cannot_be_written_is_named_as_it_was_given(
    bundle_dir: Path, portrait_file: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{portrait_file}\n")
    out = tmp_path / "no" / "such" / "e.npy"
    text = refused("embed", "--bundle", bundle_dir, "--list", listed, "--out", out)
    assert f"{out}: No such file" in text
