"""A recipe into a bundle: all of it, the same each time, or nothing and a reason."""

import os
import shutil
import stat
from pathlib import Path

import msgspec
import pytest

from edge.errors import BundleError, ConfigError
from edge.runtime import bundle as bundles
from export import build, fetch, recipe
from export.recipe import Recipe

QUIET = lambda stage: None  # noqa: E731


@pytest.fixture
def made() -> Recipe:
    return recipe.load("mobilefacenet-192")[0]


@pytest.fixture
def at_hand(bundle_dir: Path, made: Recipe, tmp_path: Path) -> Path:
    """A folder with the recipe's weights; `bundle_dir` has brought them into the cache."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for model in made.models.items().values():
        source = made.packages[model.weights.package]
        shutil.copy(fetch.weights_file(model.weights, source, None), folder)
    return folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An npm of our own first on the PATH."""
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def nothing_is_left(folder: Path) -> bool:
    return not [p for p in folder.iterdir() if "out" in p.name]


def test_two_builds_are_the_same_bytes(
    bundle_dir: Path, made: Recipe, at_hand: Path, tmp_path: Path, empty_cache: Path
) -> None:
    curve = recipe.load("mobilefacenet-192")[1]
    again = build.build(made, curve, tmp_path / "out", at_hand, QUIET)
    names = sorted(p.name for p in bundle_dir.iterdir())
    assert names == sorted(p.name for p in again.path.iterdir())
    for name in names:
        assert (bundle_dir / name).read_bytes() == (again.path / name).read_bytes()
    assert not empty_cache.exists(), "--weights fetches nothing"


@pytest.mark.parametrize("name", ["faceplugin-512", "mobilefacenet-192"])
def test_every_shipped_recipe_builds_and_its_curve_is_its_encoders(
    name: str, tmp_path: Path
) -> None:
    chosen, curve = recipe.load(name)
    bundle = build.build(chosen, curve, tmp_path / "out", None, QUIET)
    assert bundle.dim == chosen.dim
    assert bundle.measured is not None
    assert bundle.measured.encoder_id == bundle.encoder_id
    assert bundle.measured.people == 1367
    assert bundle.curve().fmr(0.6) < 1e-4


def test_weights_with_another_hash_are_refused(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    with (at_hand / "fr_detect.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"fr_detect\.onnx has sha256"):
        build.build(made, None, tmp_path / "out", at_hand, QUIET)
    assert nothing_is_left(tmp_path)


def test_weights_that_are_missing_are_named(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    (at_hand / "MobileFaceNet.tflite").unlink()
    with pytest.raises(BundleError, match=r"MobileFaceNet\.tflite"):
        build.build(made, None, tmp_path / "out", at_hand, QUIET)
    assert nothing_is_left(tmp_path)


def test_without_npm_it_says_so(
    made: Recipe, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match="npm is not installed") as caught:
        build.build(made, None, tmp_path / "out", None, QUIET)
    assert "--weights" in caught.value.hint
    assert nothing_is_left(tmp_path)


def test_without_a_network_it_says_what_npm_said(
    made: Recipe, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(BundleError, match="ENOTFOUND"):
        build.build(made, None, tmp_path / "out", None, QUIET)
    assert nothing_is_left(tmp_path)


def test_a_package_that_was_replaced_is_refused_and_not_kept(
    made: Recipe, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, 'echo evil >"$4/package.tgz"')
    with pytest.raises(BundleError, match="sha256"):
        build.build(made, None, tmp_path / "out", None, QUIET)
    assert nothing_is_left(tmp_path)
    assert not list(empty_cache.rglob("*.tgz"))


def test_a_damaged_cache_is_named(
    made: Recipe, at_hand: Path, tmp_path: Path, empty_cache: Path
) -> None:
    weights = made.models.detector.weights
    cached = empty_cache / weights.sha256 / weights.file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a file")
    with pytest.raises(BundleError, match="delete it and build again"):
        build.build(made, None, tmp_path / "out", None, QUIET)


def test_a_conversion_that_differs_is_refused(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    replace = msgspec.structs.replace
    encoder = made.models.encoder
    weights = replace(encoder.weights, converted_sha256="0" * 64)
    models = replace(made.models, encoder=replace(encoder, weights=weights))
    with pytest.raises(BundleError, match=r"constraints\.txt"):
        build.build(replace(made, models=models), None, tmp_path / "out", at_hand, QUIET)
    assert nothing_is_left(tmp_path)


def test_it_replaces_a_bundle_and_nothing_else(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is no bundle"):
        build.build(made, None, out, at_hand, QUIET)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").unlink()
    first = build.build(made, None, out, at_hand, QUIET)
    assert build.build(made, None, out, at_hand, QUIET).encoder_id == first.encoder_id


def test_a_curve_of_another_encoder_is_refused(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    other = recipe.load("faceplugin-512")[1]
    with pytest.raises(BundleError, match="another encoder"):
        build.build(made, other, tmp_path / "out", at_hand, QUIET)
    assert nothing_is_left(tmp_path)


def test_a_curve_can_be_put_into_a_bundle(made: Recipe, at_hand: Path, tmp_path: Path) -> None:
    bundle = build.build(made, None, tmp_path / "out", at_hand, QUIET)
    assert bundle.measured is None
    curve = recipe.load("mobilefacenet-192")[1]
    assert curve is not None
    measured = msgspec.json.decode(curve, type=bundles.DetFile)
    assert build.add_curve(bundle, measured).measured == measured
    assert bundles.load(tmp_path / "out").measured == measured


@pytest.mark.parametrize(
    ("text", "message"),
    [("name = 'x'\n", "missing required field"), ("[", "recipe"), ("name = 3\n", "Expected `str`")],
)
def test_a_recipe_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.load(str(path))
    with pytest.raises(ConfigError, match="mobilefacenet-192"):
        recipe.load("no-such-recipe")
