"""A folder of faces may have a name of any bytes: stored files hold it as text."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import onnx
import pytest

from ostiary.edge.files import as_text
from ostiary.edge.runtime.det import DetFile
from ostiary.export.bundle import build, int8_stages
from ostiary.export.bundle.int8_stages import Int8Stages
from ostiary.export.cli import evaluating, judging
from ostiary.export.faces import open_set
from ostiary.export.graphs import run
from ostiary.export.int8 import quantize
from ostiary.export.judge import gate
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.records.results import Gate
from tests.support.export.made_up import crops, encoder, normalised

NAME, TEXT = os.fsdecode(b"caf\xe9"), r"caf\udce9"
FACES = crops(people=40, images=2)
QUIET = lambda *a: None  # noqa: E731
TOML = (
    'source = "encoder.onnx"\nsize_px = [16, 16]\nchannels = "rgb"\nmean = 127.5\nscale = 128.0\n'
)


class Asked(Exception):
    """What a stage was given as the data set's name."""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipe.BuildPlan:
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.toml").write_text(TOML)
    onnx.save(encoder(), tmp_path / "encoder.onnx")
    return recipe.load(str(tmp_path / "mine.toml"))


def test_bytes_that_are_no_text_are_told_by_their_numbers() -> None:
    assert as_text(NAME) == TEXT
    assert as_text("café") == "café"


@pytest.mark.parametrize("command", [judging.verify, evaluating.evaluate])
def test_verify_and_evaluate_store_the_name_as_text(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: object
) -> None:
    def named(*given: object) -> None:
        raise Asked(next(item for item in given if isinstance(item, str) and "caf" in item))

    monkeypatch.setattr(judging, "read_crops", lambda *a: FACES)
    monkeypatch.setattr(run, "embed", QUIET)
    monkeypatch.setattr(gate, "measure", named)
    monkeypatch.setattr(open_set, "det_file", named)
    with pytest.raises(Asked) as caught:
        command(bundle_dir, tmp_path / NAME)  # type: ignore[operator]
    assert str(caught.value) == TEXT


def test_the_stages_of_a_build_store_the_name_as_text(
    plan: recipe.BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(encoders: object, found: object, name: str, *rest: object) -> tuple[Gate, DetFile]:
        raise Asked(name)

    monkeypatch.setattr(int8_stages, "measure", measure)
    folder = tmp_path / NAME
    options = Options(calibrate=folder, faces=folder)
    stages = Int8Stages(plan, options, "0" * 64, [], lambda folder: FACES, QUIET)
    model = normalised()
    table = stages.table(model)
    assert table.data_set == TEXT
    with pytest.raises(Asked) as caught:
        stages.verdict(model, quantize.quantize(model, table), table)
    assert str(caught.value) == TEXT


def test_the_note_on_a_projection_holds_the_name_as_text(
    plan: recipe.BuildPlan, tmp_path: Path
) -> None:
    folder = tmp_path / NAME
    at_work = build._Build(plan, Options(calibrate=folder), tmp_path / "out", QUIET)
    at_work._crops[folder] = crops(people=80, images=2)
    at_work._projected(normalised(), 8)
    assert f"from {TEXT}, " in msgspec.json.decode(msgspec.json.encode(at_work._notes))[0]
