"""The benchmark of dim rooms: who is kept out there, and who of dark skin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import light
from bench.common import profile
from bench.light import LitPerson
from bench.stays import Look, Visitor
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.vision.pipeline import Pipeline
from tests.support.fakes import face_at

GOOD = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0)
PEOPLE = 20


def person(number: int, dim: int, known_in_the_dim: bool) -> LitPerson:
    template = np.eye(dim, dtype=np.float32)[number]
    nobody = np.eye(dim, dtype=np.float32)[-1 - number]
    visits = [
        Visitor(f"p{number}", template, [[Look(face_at(0, 0), GOOD, probe)]])
        for probe in (template, template if known_in_the_dim else nobody)
    ]
    return LitPerson(visits, tone=float(number))


def test_the_dim_and_the_dark_are_counted_apart(pipeline: Pipeline) -> None:
    dim = pipeline.bundle.dim
    people = [person(n, dim, known_in_the_dim=n not in (0, 9, 10, 11)) for n in range(PEOPLE)]
    config = profile(recognition={"fpir": 0.01, "tau": "mean"})
    lit, dark = light.measure(pipeline, config, people, [0.0, 2.0], k=8)
    assert (lit.people, lit.stops, dark.stops) == (PEOPLE, 0.0, 2.0)
    assert lit.fnir.value == 0.0
    assert dark.fnir.value == pytest.approx(4 / PEOPLE)
    assert dark.darkest.value == pytest.approx(1 / 2)
    assert dark.others.value == pytest.approx(3 / 18)
    assert dark.darkest_times_others.value == pytest.approx(3.0)
    assert np.isnan(dark.times_ordinary.value)


def test_too_few_people_are_an_error_and_no_traceback(
    bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert light.main(["--bundle", str(bundle_dir), "--faces", str(tmp_path)]) == 2
    assert "0 people on two photos" in capsys.readouterr().err
