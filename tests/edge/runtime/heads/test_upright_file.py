"""`upright.json`: it belongs to one landmark model, and a file that cannot be used is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.faces.upright import LANDMARKS
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.heads import upright_file
from ostiary.edge.runtime.heads.upright_file import UPRIGHT, TurnShares, UprightFile
from ostiary.edge.runtime.manifest import Manifest
from ostiary.export.bundle.release import write_manifest
from tests.support import tiny_bundle


def made(landmarks: str, **changes: Any) -> UprightFile:
    file = UprightFile(
        schema=1,
        landmarks_sha256=landmarks,
        weights=[0.5] * LANDMARKS,
        bias=-1.0,
        lead=3.0,
        data_set="made up",
        people=60,
        photos=60,
        noise=0.003,
        judged=[TurnShares(0, 60, 0.99)],
    )
    return msgspec.structs.replace(file, **changes)


def with_file(folder: Path, file: bytes) -> Path:
    """A tiny bundle that holds this upright.json."""
    path = tiny_bundle.make(folder / "bundle", sign=False)
    manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    write_manifest(path, manifest, {UPRIGHT: file})
    return path


def landmarks_of(folder: Path) -> str:
    path = tiny_bundle.make(folder / "other", sign=False)
    return bundles.sha256((path / "landmarks.onnx").read_bytes())


def test_a_bundle_gives_its_head_and_one_without_gives_none(tmp_path: Path) -> None:
    file = made(landmarks_of(tmp_path))
    read = bundles.read(with_file(tmp_path, upright_file.to_text(file)))
    assert read.upright == file
    head = file.head()
    assert head.uprightness(np.full(LANDMARKS, 0.1, np.float32)) == pytest.approx(
        0.05 * LANDMARKS - 1, rel=1e-6
    )
    assert bundles.read(tiny_bundle.make(tmp_path / "bare")).upright is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"landmarks_sha256": "0" * 64}, "another landmark model"),
        ({"weights": [1.0]}, "1 weights, expected 136"),
        ({"bias": float("inf")}, "bias"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    file = made(landmarks_of(tmp_path), **change)
    with pytest.raises(BundleError, match=problem):
        bundles.read(with_file(tmp_path, upright_file.to_text(file)))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"upright\.json"):
        bundles.read(with_file(tmp_path, b"{}"))
