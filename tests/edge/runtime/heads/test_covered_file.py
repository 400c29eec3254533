"""`covered.json`: it keeps its layers, and a file that cannot be used is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.heads import covered_file
from ostiary.edge.runtime.heads.covered_file import COVERED, CoveredFile, CoverShare, Layer
from ostiary.edge.runtime.manifest import Manifest
from ostiary.export.bundle.release import write_manifest
from tests.support import tiny_bundle


def layer(*shape: int, value: float = 0.25) -> Layer:
    weights = np.full(shape, value, np.float32)
    return covered_file.layer(weights, np.zeros(shape[0], np.float32))


LAYERS = [layer(2, 3, 5, 5), layer(4, 28 * 28 * 2), layer(1, 4)]


def made(**changes: Any) -> CoveredFile:
    file = CoveredFile(
        schema=1,
        layers=LAYERS,
        data_set="made up",
        people=60,
        photos=60,
        judged_people=12,
        judged=[CoverShare("bare", 12, 0.01)],
    )
    return msgspec.structs.replace(file, **changes)


def with_file(folder: Path, file: bytes) -> Path:
    """A tiny bundle that holds this covered.json."""
    path = tiny_bundle.make(folder / "bundle", sign=False)
    manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    write_manifest(path, manifest, {COVERED: file})
    return path


def test_a_bundle_gives_its_head_and_one_without_gives_none(tmp_path: Path) -> None:
    read = bundles.read(with_file(tmp_path, covered_file.to_text(made())))
    assert read.covered == made()
    head = made().head()
    assert [part.weights.shape for part in head.convolutions] == [(2, 3, 5, 5)]
    assert [part.weights.shape for part in head.dense] == [(4, 1568), (1, 4)]
    assert (head.dense[1].weights == 0.25).all()
    assert bundles.read(tiny_bundle.make(tmp_path / "bare")).covered is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 9}, "schema 9"),
        ({"layers": []}, "does not end in one value"),
        ({"layers": LAYERS[:2]}, "does not end in one value"),
        ({"layers": [LAYERS[0], LAYERS[2]]}, r"layer 2 .* cannot follow"),
        ({"layers": [*LAYERS[:2], layer(1, 2, 1, 1)]}, r"layer 3 .* cannot follow"),
        ({"layers": [layer(2, 3, 4, 4), *LAYERS[1:]]}, r"layer 1 .* cannot follow"),
        ({"layers": [Layer([2, 3, 5, 5], b"", [0.0, 0.0]), *LAYERS[1:]]}, "layer 1 .* hold"),
        ({"layers": [*LAYERS[:2], layer(1, 4, value=float("nan"))]}, "layer 3 .* not a number"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BundleError, match=problem):
        bundles.read(with_file(tmp_path, covered_file.to_text(made(**change))))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"covered\.json"):
        bundles.read(with_file(tmp_path, b"{}"))
