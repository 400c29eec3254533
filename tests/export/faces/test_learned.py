"""People whom an encoder learned from may calibrate it, and are left out of every evaluation."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.export.bundle import build, release
from ostiary.export.bundle.int8_stages import Int8Stages
from ostiary.export.cli import evaluating, judging
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import calibrate, quantize, sensitivity
from ostiary.export.judge import gate
from ostiary.export.judge.gate import Encoders, measure
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import GateLimits, LayerCosts
from tests.support.export import made_up
from tests.support.export.made_up import SPEC, crops, normalised

QUIET = lambda *a: None  # noqa: E731
LIMITS = GateLimits(fmrs=(1e-3,), most_fnir=1.0)
EACH = 4
TOML = (
    'source = "encoder.onnx"\nsize_px = [16, 16]\nchannels = "rgb"\nmean = 127.5\nscale = 128.0\n'
    'learned = "learned.json"\n'
)


@pytest.fixture
def faces() -> Crops:
    return crops(people=100, images=EACH)


@pytest.fixture
def described(tmp_path: Path, faces: Crops) -> Path:
    """An encoder that says it learned from the first photo of each of the first ten people."""
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    onnx.save(made_up.encoder(), tmp_path / "encoder.onnx")
    photos = faces.photos[: 10 * EACH : EACH]
    (tmp_path / learned.FILE).write_bytes(learned.to_text(photos))
    return path


def test_a_list_that_an_editor_has_marked_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photos.json"
    path.write_bytes(b'\xef\xbb\xbf["0123456789abcdef"]\r\n')
    assert learned.read(path) == ["0123456789abcdef"]


def test_a_person_on_one_learned_photo_is_left_out_with_all_photos(faces: Crops) -> None:
    said: list[str] = []
    kept = learned.strangers(faces, [faces.photos[5], "f" * 16], said.append)
    assert set(faces.person) - set(kept.person) == {1}
    assert said == ["4 photos left out, of 1 people whom the encoder learned from"]
    assert learned.strangers(faces, ["f" * 16], said.append) is faces
    with pytest.raises(PhotoError, match="learned from all 100 people") as caught:
        learned.strangers(faces, faces.photos[::EACH], QUIET)
    assert "did not learn from" in caught.value.hint


def test_the_list_is_read_with_the_encoder_that_names_it(described: Path, faces: Crops) -> None:
    plan = recipe.load(str(described))
    assert plan.learned == faces.photos[: 10 * EACH : EACH]
    described.write_text(TOML.replace('learned = "learned.json"\n', ""))
    assert recipe.load(str(described)).learned == []


@pytest.mark.parametrize(
    "text", [None, b"", b"{}", b'["../x"]', b'["0123456789abcdef\\n"]', b"[3]", b"[\xff"]
)
def test_a_list_that_is_not_there_or_damaged_is_named(described: Path, text: bytes | None) -> None:
    path = described.with_name(learned.FILE)
    path.unlink()
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"learned\.json is not a list of the photos"):
        recipe.load(str(described))


@pytest.mark.parametrize("name", ["", ".", "a\\u0000b", "encoder.onnx"])
def test_a_name_that_is_not_a_lists_is_refused(described: Path, name: str) -> None:
    described.write_text(TOML.replace("learned.json", name))
    with pytest.raises(ConfigError, match="is not a list of the photos"):
        recipe.load(str(described))


def test_the_gate_leaves_them_out_counts_them_and_says_whom_to_give(faces: Crops) -> None:
    model = normalised()
    table = calibrate.calibrate(model, SPEC, faces, "x", "mse", False, QUIET)
    rounded = normal_form.to_bytes(quantize.quantize(model, table))
    known = faces.photos[::EACH]
    said: list[str] = []

    def judged(count: int) -> Encoders:
        return Encoders(normal_form.to_bytes(model), rounded, SPEC, None, known[:count])

    gate, det = measure(judged(10), faces, "x", LIMITS, said.append)
    assert (gate.learned_left_out, gate.calibration_left_out) == (40, 0)
    assert (gate.images, gate.people, det.people) == (360, 90, 90)
    assert "40 photos left out, of 10 people whom the encoder learned from" in said
    with pytest.raises(PhotoError, match="240 photos of people that the encoder lea") as caught:
        measure(judged(60), faces, "x", LIMITS, QUIET)
    assert caught.value.hint.startswith("give faces of people that the encoder did not learn from")


def test_a_build_judges_by_others_and_calibrates_on_all(
    described: Path, faces: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    model, plan = normalised(), recipe.load(str(described))
    options = Options(calibrate=tmp_path, faces=tmp_path, limits=LIMITS)
    sensed: list[Crops] = []

    def sense(model: onnx.ModelProto, table: Table, found: Crops, *rest: object) -> LayerCosts:
        sensed.append(found)
        return LayerCosts("0" * 64, len(found), 1e-3, [], {})

    monkeypatch.setattr(sensitivity, "measure", sense)

    def stages(plan: recipe.BuildPlan) -> Int8Stages:
        return Int8Stages(plan, options, "0" * 64, [], lambda folder: faces, QUIET)

    table = stages(plan).table(model)
    assert {*table.photos} & {*faces.photos[: 10 * EACH]}
    rounded = quantize.quantize(model, table)
    verdict = stages(plan).verdict(model, rounded, table)
    assert verdict is not None
    assert verdict.gate.learned_left_out == 40
    stages(plan).layers(model, table)
    assert sensed[0].people == 90
    # What an earlier build found of an encoder that learned from nobody here is not taken.
    described.write_text(TOML.replace('learned = "learned.json"\n', ""))
    other = stages(recipe.load(str(described))).verdict(model, rounded, table)
    assert other is not None
    assert other.gate.learned_left_out == 0


def test_layers_without_two_photos_of_anybody_are_refused(faces: Crops) -> None:
    table = calibrate.calibrate(normalised(), SPEC, faces, "x", "mse", False, QUIET)
    alone = faces.only(np.arange(0, len(faces), EACH))
    with pytest.raises(PhotoError, match="no person has two of the"):
        sensitivity.measure(normalised(), table, alone, SPEC, QUIET)


def test_the_bundle_remembers_them(described: Path, bundle_dir: Path, tmp_path: Path) -> None:
    plan = recipe.load(str(described))
    made = build.build(plan, tmp_path / "out", Options(int8=False), QUIET)
    assert learned.in_bundle(made) == plan.learned
    assert learned.in_bundle(bundles.read(bundle_dir)) == []


@pytest.mark.parametrize("command", ["verify", "sensitivity", "evaluate"])
def test_every_later_evaluation_of_a_bundle_leaves_them_out(
    bundle_dir: Path, faces: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = shutil.copytree(bundle_dir, tmp_path / "bundle")
    listed = {learned.FILE: learned.to_text(faces.photos[: 10 * EACH : EACH])}
    release.write_manifest(folder, bundles.read(folder).manifest, listed)
    monkeypatch.setattr(judging, "read_crops", lambda *a: faces)

    class Judged(Exception):
        pass

    def measure(*given: object) -> None:
        found = [item for item in given if isinstance(item, Crops | np.ndarray)]
        compared = [item.learned for item in given if isinstance(item, Encoders)]
        left = learned.strangers(faces, compared[0], QUIET) if compared else found[0]
        raise Judged(len(left))

    for room, name in (
        (gate, "measure"), (sensitivity, "measure"), (run, "embed"),
    ):  # fmt: skip
        monkeypatch.setattr(room, name, measure)
    asked: dict[str, Callable[..., None]] = {
        "verify": judging.verify,
        "sensitivity": judging.per_layer,
        "evaluate": evaluating.evaluate,
    }
    with pytest.raises(Judged, match=r"^360$"):
        asked[command](folder, tmp_path)
