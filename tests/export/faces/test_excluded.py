"""Exclusion lists: their text, and that every evaluation leaves their photos out and says so."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.export.bundle import build, release
from ostiary.export.bundle.int8_stages import Int8Stages
from ostiary.export.cli import evaluating, judging, tables
from ostiary.export.faces import excluded
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.excluded import ExcludedPhoto, ExclusionList
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import calibrate, quantize
from ostiary.export.judge import gate as gates
from ostiary.export.judge.gate import Encoders, measure
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.records.results import GateLimits
from ostiary.export.report import bundle_report
from tests.support.export import measured
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731
LIMITS = GateLimits(fmrs=(1e-3,))


@pytest.fixture
def faces() -> Crops:
    return crops(people=100, images=4)


def listed(path: Path, photos: list[str]) -> Path:
    """A list of these ids."""
    rows = [ExcludedPhoto(photo, f"a/{at}.jpg", "another man") for at, photo in enumerate(photos)]
    path.write_bytes(excluded.to_text(ExclusionList("made up", rows)))
    return path


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_a_list_has_one_line_a_photo_and_lines_can_be_deleted(tmp_path: Path, faces: Crops) -> None:
    path = listed(tmp_path / "x.json", faces.photos[:3])
    lines = path.read_text().splitlines(keepends=True)
    assert sum('"id"' in line for line in lines) == 3
    path.write_text("".join(line for line in lines if faces.photos[1] not in line))
    found, said = excluded.read(path)
    assert [photo.id for photo in found.photos] == [faces.photos[0], faces.photos[2]]
    assert said == digest(path)
    assert excluded.to_text(found) == path.read_bytes()
    assert json.loads(excluded.to_text(ExclusionList("nothing", [])))["photos"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        (b"", "malformed|truncated"),
        (b'{"data_set": "x"}', "photos"),
        (b'{"data_set": "x", "photos": [], "more": 1}', "more"),
        (b'{"data_set": "x", "photos": [{"id": "12", "path": "a", "reason": ""}]}', "photos.*id"),
        (b'{"data_set": "x", "photos": [{"id": "0123456789abcdef"}]}', "path"),
        (b'{"data_set": "x", "photos": [],}', "malformed"),
    ],
)
def test_what_is_no_list_is_refused_by_name(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError, match=rf"x\.json is not an exclusion list: .*({said})"):
        excluded.read(path)


def test_a_list_that_an_editor_has_marked_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"data_set": "x", "photos": []} \r\n')
    assert excluded.read(path) == (ExclusionList("x", []), digest(path))


def test_the_photos_are_left_out_and_counted(tmp_path: Path, faces: Crops) -> None:
    path = listed(tmp_path / "x.json", [*faces.photos[3:6], "f" * 16])
    kept = excluded.leave_out(faces, path)
    assert kept.photos == faces.photos[:3] + faces.photos[6:]
    assert (kept.labels_left_out, kept.labels_sha256) == (3, digest(path))
    assert kept.only(np.arange(5)).labels_left_out == 3, "what is chosen from them still says it"
    with pytest.raises(PhotoError, match="names 1 photos of made up, and none is here"):
        excluded.leave_out(faces, listed(path, ["f" * 16]))
    with pytest.raises(PhotoError, match="names all 400 photos"):
        excluded.leave_out(faces, listed(path, faces.photos))
    assert len(excluded.leave_out(faces, listed(path, []))) == len(faces)


def test_the_gate_and_its_curves_record_them(tmp_path: Path, faces: Crops) -> None:
    model = normalised()
    table = calibrate.calibrate(model, SPEC, faces, "x", "mse", False, QUIET)
    rounded = normal_form.to_bytes(quantize.quantize(model, table))
    path = listed(tmp_path / "x.json", faces.photos[:8])
    encoders = Encoders(normal_form.to_bytes(model), rounded, SPEC, None)
    gate, det = measure(encoders, excluded.leave_out(faces, path), "x", LIMITS, QUIET)
    assert (gate.images, gate.labels_left_out, gate.labels_sha256) == (392, 8, digest(path))
    assert (det.images, det.labels_left_out, det.labels_sha256) == (392, 8, digest(path))


def test_a_build_leaves_them_out_and_keeps_no_verdict_of_another_list(
    faces: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    model, plan = normalised(), recipe.load("mobilefacenet-192")
    table = calibrate.calibrate(model, SPEC, faces, "x", "mse", False, QUIET)
    rounded = quantize.quantize(model, table)
    monkeypatch.setattr(type(plan), "spec", SPEC)
    said: list[str] = []

    def verdict(found: Crops) -> Any:
        options = Options(faces=tmp_path, limits=LIMITS)
        stages = Int8Stages(plan, options, "0" * 64, [], lambda folder: found, said.append)
        return stages.verdict(model, rounded, table).gate  # type: ignore[union-attr]

    path = listed(tmp_path / "x.json", [*faces.photos[:4], "f" * 16])
    first = verdict(excluded.leave_out(faces, path))
    assert first.labels_left_out == 4
    # The same photos remain, but another list is recorded.
    other = listed(tmp_path / "y.json", faces.photos[:4])
    assert verdict(excluded.leave_out(faces, other)).labels_sha256 == digest(other)
    assert not any("kept from an earlier run" in line for line in said)
    assert verdict(excluded.leave_out(faces, path)) == first
    assert any("kept from an earlier run" in line for line in said)


def test_a_build_reads_the_list_first_and_applies_it_to_the_faces(
    bundle_dir: Path, faces: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = recipe.load("mobilefacenet-192"), tmp_path / "out"
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    with pytest.raises(ConfigError, match="is not an exclusion list"):
        build.build(plan, out, Options(exclude=bad, faces=tmp_path), QUIET)
    path = listed(tmp_path / "x.json", faces.photos[:4])
    with pytest.raises(PhotoError, match="there are none") as caught:
        build.build(plan, out, Options(exclude=path), QUIET)
    assert caught.value.option == "faces"
    monkeypatch.setattr(build, "read_crops", lambda *a: faces)
    monkeypatch.setattr(bundles, "read", lambda path: None)
    judged, other = tmp_path / "judged", tmp_path / "other"
    said: list[str] = []
    options = Options(exclude=path, faces=judged, calibrate=other)
    one = build._Build(plan, options, tmp_path, said.append)
    assert len(one._read(judged)) == 396
    assert len(one._read(other)) == 400
    assert "4 photos with wrong labels left out" in said


@pytest.mark.parametrize("command", ["verify", "evaluate"])
def test_every_evaluation_of_a_bundle_leaves_them_out(
    bundle_dir: Path, faces: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(judging, "read_crops", lambda *a: faces)
    path = listed(tmp_path / "x.json", faces.photos[:5])

    class Judged(Exception):
        pass

    def judge(*given: object) -> None:
        raise Judged(next(len(item) for item in given if isinstance(item, Crops | np.ndarray)))

    monkeypatch.setattr(gates, "measure", judge)
    monkeypatch.setattr(run, "embed", judge)
    asked: dict[str, Callable[..., None]] = {
        "verify": judging.verify,
        "evaluate": evaluating.evaluate,
    }
    with pytest.raises(Judged, match=r"^395$"):
        asked[command](bundle_dir, tmp_path, exclude=path)


def test_an_evaluation_writes_them_into_the_curve_and_prints_them(
    bundle_dir: Path,
    faces: Crops,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(bundle_dir, tmp_path / "bundle")
    manifest = bundles.read(folder).in_float().manifest
    (folder / bundles.INT8_FILE).unlink()
    files = {n: d for n, d in manifest.files.items() if n != bundles.INT8_FILE}
    release.write_manifest(folder, msgspec.structs.replace(manifest, files=files), {})
    many = crops(people=150, images=2, seed=1)
    rows = np.random.default_rng(0).standard_normal((len(many), 192)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    monkeypatch.setattr(judging, "read_crops", lambda *a: many)
    monkeypatch.setattr(run, "embed", lambda model, images, spec: rows[: len(images)])
    path = listed(tmp_path / "x.json", many.photos[:6])
    evaluating.evaluate(folder, tmp_path, exclude=path, write=True, sign_weak=True, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["labels_left_out"]) == (294, 6)
    assert told["labels_sha256"] == digest(path)
    curve = bundles.read(folder).measured
    assert curve is not None
    assert (curve.labels_left_out, curve.labels_sha256) == (6, digest(path))
    evaluating.evaluate(folder, tmp_path, exclude=path)
    assert "wrong label 6" in capsys.readouterr().out


def test_the_table_and_the_report_say_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    gate = measured.gate(labels_left_out=37, losses=[])
    tables.show_gate(gate)
    assert "37 with wrong labels" in " ".join(capsys.readouterr().out.split())

    def page(left_out: int, sha: str | None) -> str:
        changed = measured.gate(labels_left_out=left_out, labels_sha256=sha)
        det = msgspec.structs.replace(
            measured.curves(), labels_left_out=left_out, labels_sha256=sha
        )
        return bundle_report.render(measured.manifest(), changed, det, None, None, [])

    told = page(37, "e5" * 32)
    assert told.count("wrong labels") == 2
    assert "e5e5e5" in told
    assert "wrong labels" not in page(0, None)
