"""A bundle of a weak encoder: written, signed only on request, and its manifest says why."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
import typer

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import INT8, SCHEMA, Bundle
from ostiary.edge.runtime.det import DetFile
from ostiary.edge.runtime.heads import verifier_file
from ostiary.export.bundle import build, release
from ostiary.export.bundle.int8_stages import GateVerdict, Int8Stages
from ostiary.export.cli import choices, evaluating, judging
from ostiary.export.faces import open_set
from ostiary.export.graphs import run
from ostiary.export.int8 import sensitivity
from ostiary.export.judge import floor, gate
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.records import limits_file
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Gate, GateLimits
from tests.support import made_verifier
from tests.support.export import measured
from tests.support.export.made_up import crops, encoder
from tests.support.places import ostiary_export

pytestmark = pytest.mark.long

QUIET = lambda *a: None  # noqa: E731
STRICT = GateLimits(least_tar=0.99)
LOW = "recognises 98 % of people at FMR 1e-3, 99 % are needed"
TOLD = f"the encoder {LOW}; signed by --sign-weak"
TRAINING = "it is UNPROVEN that training made the encoder better"
TOML = (
    'source = "encoder.onnx"\nsize_px = [16, 16]\nchannels = "rgb"\nmean = 127.5\nscale = 128.0\n'
    f'warnings = ["{TRAINING}"]\n'
)


def strict(name: str = "mobilefacenet-192") -> BuildPlan:
    """A recipe that asks for more than its encoder can do."""
    plan = recipe.load(name)
    return dataclasses.replace(plan, recipe=msgspec.structs.replace(plan.recipe, limits=STRICT))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of such a recipe, as it is built without a request to sign it."""
    out = tmp_path_factory.mktemp("weak") / "bundle"
    build.build(strict(), out, Options(), QUIET)
    return out


@pytest.fixture
def weak(unsigned: Path, tmp_path: Path) -> Bundle:
    shutil.copytree(unsigned, tmp_path / "bundle")
    return bundles.read(tmp_path / "bundle")


def test_it_is_written_and_not_signed(weak: Bundle) -> None:
    assert release.objections(weak) == [f"its encoder {LOW}"]
    assert release.objections(weak, sign_weak=True) == []
    with pytest.raises(BundleError, match="not signed"):
        bundles.load(weak.path)
    assert weak.manifest.warnings == []
    found = release.read_gate(weak)
    assert found is not None
    assert (found.faithful, found.passed, found.weak) == (True, False, [LOW])
    assert "FAITHFUL, BUT RECOGNISES 98 % OF PEOPLE" in (weak.path / release.REPORT).read_text()
    assert limits_file.in_bundle(weak) == STRICT


def test_sign_refuses_it_and_names_the_way(weak: Bundle) -> None:
    with pytest.raises(BundleError, match="its encoder recognises 98 %") as caught:
        release.sign(weak, None, QUIET)
    assert caught.value.option == "sign_weak"


def test_sign_signs_it_on_request_with_a_warning_and_never_again_by_itself(weak: Bundle) -> None:
    key = release.sign(weak, None, QUIET, sign_weak=True)
    signed = bundles.load(weak.path)
    assert (signed.signer, signed.manifest.warnings) == (key, [TOLD])
    assert TOLD in (weak.path / release.REPORT).read_text()
    again = release.sign(signed, None, QUIET, sign_weak=True)
    assert (again, bundles.load(weak.path).manifest) == (key, signed.manifest)
    with pytest.raises(BundleError, match="its encoder recognises 98 %"):
        release.sign(signed, None, QUIET)


def test_what_is_measured_later_signs_it_only_on_request(weak: Bundle, tmp_path: Path) -> None:
    head = made_verifier.made(
        weak.encoder_id, weak.dim, int8=weak.manifest.files[weak.model(INT8).file]
    )
    file = tmp_path / "head.json"
    file.write_bytes(verifier_file.to_text(msgspec.structs.replace(head, insisted="it is untrue")))
    insisted = "the logistic head failed its checks (it is untrue); accepted by --insist"
    release.attach(weak, file, None, QUIET, sign_weak=True)
    assert bundles.load(weak.path).manifest.warnings == [insisted, TOLD]
    release.attach(bundles.read(weak.path), file, None, QUIET)
    assert release.signer(weak) == ""
    assert bundles.read(weak.path).manifest.warnings == [insisted]


def test_a_stronger_encoder_loses_the_warning_and_an_old_manifest_gets_the_new_schema(
    weak: Bundle,
) -> None:
    """As `verify` ends; the training's warning came with the encoder and stays."""
    old = msgspec.structs.replace(weak.manifest, schema=2, warnings=[TRAINING, TOLD])
    known = dataclasses.replace(release.read_measured(weak), limits=GateLimits())
    assert known.gate is not None
    good = msgspec.structs.replace(known.gate, passed=True, weak=[], limits=GateLimits())
    changed = dataclasses.replace(known, gate=good)
    release.release(Bundle(weak.path, old, None), changed, None, QUIET)
    signed = bundles.load(weak.path).manifest
    assert (signed.warnings, signed.schema) == ([TRAINING], SCHEMA)


def test_verify_fails_for_it_by_the_bundles_own_limits_and_signs_it_on_request(
    weak: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = strict().recorded
    asked: list[GateLimits] = []

    def measure(
        encoders: object, found: object, name: str, limits: GateLimits, say: object, groups: object
    ) -> tuple[Gate, DetFile | None]:
        asked.append(limits)
        assert recorded.gate is not None
        return floor.judged(recorded.gate, recorded.curve, limits), recorded.curve

    monkeypatch.setattr(judging, "_crops", QUIET)
    monkeypatch.setattr(gate, "measure", measure)
    for sign_weak, warnings in ((True, [TOLD]), (False, [])):
        with pytest.raises(typer.Exit) as left:
            judging.verify(weak.path, weak.path, sign_weak=sign_weak)
        assert left.value.exit_code == 1
        assert bool(release.signer(weak)) == sign_weak
        assert bundles.read(weak.path).manifest.warnings == warnings
    said = capsys.readouterr().out
    assert f"faithful, but recognises 98 % of people\nweak: the encoder {LOW}\n" in said
    judging.verify(weak.path, weak.path, least_tar=0.5)
    assert "passed" in capsys.readouterr().out
    assert asked == [STRICT, STRICT, GateLimits(least_tar=0.5)]
    assert bundles.load(weak.path).manifest.warnings == []


def test_a_float_bundle_below_the_floor_is_weak_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, curve = tmp_path / "b", strict().recorded.curve
    bundle = build.build(strict(), path, Options(int8=False), QUIET)
    assert release.objections(bundle) == [f"its encoder {LOW}"]
    assert "RECOGNISES 98 % OF PEOPLE" in (path / release.REPORT).read_text()
    monkeypatch.setattr(judging, "_crops", lambda *_: crops(people=40, images=2))
    monkeypatch.setattr(run, "embed", QUIET)
    monkeypatch.setattr(open_set, "det_file", lambda *_: (curve, []))
    monkeypatch.setattr(open_set, "open_set", lambda *_: [])
    evaluating.evaluate(path, path, write=True, sign_weak=True)
    assert bundles.load(path).manifest.warnings == [TOLD]
    with pytest.raises(typer.Exit) as left:
        evaluating.evaluate(path, path, write=True)
    assert left.value.exit_code == 1
    assert f"not signed: its encoder {LOW}" in capsys.readouterr().out
    assert release.signer(bundle) == ""


def test_what_the_training_says_goes_into_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TOML)
    onnx.save(encoder(), tmp_path / "encoder.onnx")
    plan = recipe.load(str(tmp_path / "mine.toml"))
    build.build(plan, tmp_path / "b", Options(int8=False), QUIET)
    assert bundles.load(tmp_path / "b").manifest.warnings == [TRAINING]


def test_the_command_says_why_and_signs_on_request(tmp_path: Path) -> None:
    asked = ("build", "mobilefacenet-192", "--out", tmp_path / "b", "--least-tar", "0.99")
    done = ostiary_export(*asked)
    assert done.returncode == 1, done.stderr
    assert f"not signed: its encoder {LOW} (--sign-weak" in done.stdout
    done = ostiary_export(*asked, "--sign-weak", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["signed"], told["manifest"]["warnings"]) == (True, [TOLD])
    shown = ostiary_export("inspect", tmp_path / "b").stdout
    assert "gate faithful, but recognises 98 % of people on" in shown
    assert f"warning: {TOLD}" in shown


def test_no_layer_is_left_in_float_because_the_float_encoder_is_weak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search ends at the first candidate that is faithful, whatever the floor says."""
    faces = crops(people=40, images=2)
    options = Options(calibrate=tmp_path)
    stages = Int8Stages(strict(), options, "0" * 64, [], lambda folder: faces, QUIET)
    failed, weak = (
        GateVerdict(measured.gate(passed=False, **{name: ["x"]}), measured.curves())
        for name in ("failures", "weak")
    )

    def search(model: object, table: Table, *given: Any) -> Table:
        assert given[-2](table), "it passes"
        return table

    monkeypatch.setattr(sensitivity, "search", search)
    monkeypatch.setattr(stages, "verdict", lambda *_: weak)
    monkeypatch.setattr(stages, "quantized", QUIET)
    model, layers = onnx.ModelProto(), measured.layers()
    assert stages.search(model, measured.table(), failed, layers) == (measured.table(), weak)


def test_a_recipe_and_an_own_encoder_set_their_limits(tmp_path: Path) -> None:
    text = (Path(recipe.__file__).parents[1] / "recipes" / "mobilefacenet-192.toml").read_text()
    (tmp_path / "theirs.toml").write_text(f"{text}\n[limits]\nleast_tar = 0.5\n")
    (tmp_path / "mine.toml").write_text(f"{TOML}[limits]\nmost_fnir = 1.0\nint8_int8 = 0.1\n")
    theirs, mine = (recipe.load(str(tmp_path / f"{name}.toml")) for name in ("theirs", "mine"))
    assert theirs.limits == GateLimits(least_tar=0.5)
    assert mine.limits == GateLimits(most_fnir=1.0, int8_int8=0.1)
    assert (theirs.warnings, mine.warnings) == ([], [TRAINING])
    for bad in ("least_tar = 1.1", "least = 0.5"):
        (tmp_path / "mine.toml").write_text(f"{TOML}[limits]\n{bad}\n")
        with pytest.raises(ConfigError, match=r"mine\.toml: .*\$\.limits"):
            recipe.load(str(tmp_path / "mine.toml"))


def test_the_command_line_wins_over_the_recipe() -> None:
    base = GateLimits(least_tar=0.5, int8_int8=0.1)
    assert choices.limits_over(base, None, None, None, None) == base
    assert choices.limits_over(base, 0.2, None, 0.0, None, (1e-3,)) == GateLimits(
        least_tar=0.0, int8_int8=0.2, fmrs=(1e-3,)
    )
    assert Options(limits=STRICT).limits_of(recipe.load("mobilefacenet-192")) == STRICT
    assert Options().limits_of(strict()) == STRICT
