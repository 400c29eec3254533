"""What is kept of an earlier build serves only a build that reads the encoder's input alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.export.bundle.int8_stages import Int8Stages
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.records.calibration_table import Table
from tests.support.export.made_up import SPEC, crops, normalised

OTHERS = [
    dataclasses.replace(SPEC, channels="bgr"),
    dataclasses.replace(SPEC, mean=0.0, scale=255.0),
]


@pytest.mark.parametrize("other", OTHERS, ids=["channels", "range"])
def test_another_declaration_of_the_input_is_measured_anew(
    other: InputSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise whoever declares what the gate asked for gets the old verdict again."""
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    model, plan = normalised(), recipe.load("mobilefacenet-192")
    faces = crops(people=40, images=1, seed=7)
    said: list[str] = []

    def table(spec: InputSpec) -> Table:
        monkeypatch.setattr(type(plan), "spec", spec)
        options = Options(calibrate=tmp_path, method="minmax", insist=True)
        stages = Int8Stages(plan, options, "0" * 64, [], lambda folder: faces, said.append)
        return stages.table(model)

    first = table(SPEC)
    assert table(other) != first
    assert not any("kept from an earlier run" in line for line in said)
    assert table(SPEC) == first
    assert any("kept from an earlier run" in line for line in said)
