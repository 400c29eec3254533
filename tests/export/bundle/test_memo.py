"""What an interrupted build keeps, and what makes it measure again."""

from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.errors import PhotoError
from ostiary.export.bundle import projection
from ostiary.export.bundle.memo import Memo
from ostiary.export.graphs import normal_form, run
from ostiary.export.records.results import Reading
from tests.support.export.made_up import SPEC, crops, normalised


def test_a_stage_is_kept_and_made_anew_when_anything_changes(tmp_path: Path) -> None:
    told: list[str] = []
    made: list[int] = []

    def make() -> Reading:
        made.append(1)
        return Reading("rgb", len(made))

    memo = Memo(told.append, tmp_path / "stages")
    assert memo.get("gate", ["a", b"b"], Reading, make).d_prime == 1
    assert memo.get("gate", ["a", b"b"], Reading, make).d_prime == 1
    assert len(told) == 1
    assert "kept from an earlier run" in told[0]
    assert memo.get("gate", ["ab"], Reading, make).d_prime == 2
    assert memo.get("other", ["a", b"b"], Reading, make).d_prime == 3
    for path in (tmp_path / "stages").iterdir():
        path.write_text("half a fi")
    assert memo.get("gate", ["a", b"b"], Reading, make).d_prime == 4


def test_a_projection_keeps_most_of_what_it_was_fitted_on() -> None:
    people = crops(people=120, images=1)
    made, kept = projection.project(normalised(), SPEC, people, 16)
    assert 0.5 < kept < 1
    base = run.embed(normal_form.to_bytes(normalised()), people.images, SPEC, "onnxruntime")
    rows = run.embed(normal_form.to_bytes(made), people.images, SPEC, "onnxruntime")
    assert rows.shape == (120, 16)
    centred = base.astype(np.float64) - base.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:16]
    naive = centred @ axes.T
    naive /= np.linalg.norm(naive, axis=1, keepdims=True)
    assert np.allclose(rows @ rows.T, naive @ naive.T, atol=1e-4)


def test_a_projection_that_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(PhotoError, match="too few to fit 16 components"):
        projection.project(normalised(), SPEC, crops(people=20, images=1), 16)
    with pytest.raises(PhotoError, match="cannot be shortened"):
        projection.project(normalised(), SPEC, crops(people=120, images=1), 32)
