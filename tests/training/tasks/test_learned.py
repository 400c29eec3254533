"""Whom a bundle's encoder learned from judges neither a head for it nor its fine-tuning."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ostiary.edge.errors import PhotoError
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import run
from ostiary.training.cli import finetune, verifier
from ostiary.training.data.photos import Faces, LeftOut
from ostiary.training.tasks import fit
from tests.support.training import lesson

PEOPLE = lesson.people(5, 2, 1)
LEARNED = ["0123456789abcdef", "fedcba9876543210"]


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    """What these commands ask of a bundle, whose encoder learned from the first two people."""
    (tmp_path / learned.FILE).write_bytes(learned.to_text(LEARNED))
    (tmp_path / "encoder.onnx").touch()
    model = SimpleNamespace(file="encoder.onnx", spec=lesson.SPEC)
    manifest = SimpleNamespace(
        files={learned.FILE: ""}, models=SimpleNamespace(items=lambda: {"encoder": model})
    )
    return SimpleNamespace(path=tmp_path, manifest=manifest, model=lambda name: model)


def known() -> Crops:
    photos = [LEARNED[0], "a", LEARNED[1], *PEOPLE.photos[3:]]
    return Crops(PEOPLE.images, PEOPLE.person, photos, PEOPLE.names, {}, {})


def test_a_head_is_neither_fitted_nor_judged_on_them(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def found_in(*asked: Any) -> Faces:
        given.append(asked[-1])
        return Faces(known(), LeftOut(), frozenset(PEOPLE.names[:2]))

    monkeypatch.setattr(verifier, "found_in", found_in)
    monkeypatch.setattr(run, "embed", lambda model, images, spec: np.zeros((len(images), 2), "f4"))
    found = verifier._embedded(loaded, Path("faces"))
    assert found.person.tolist() == [2, 2, 3, 3, 4, 4]
    assert len(found.templates) == 6
    assert given == [LEARNED]


def test_a_fine_tuning_asks_for_them_as_it_looks_for_faces(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def found_in(*asked: Any) -> Faces:
        given.append(asked[-1])
        raise PhotoError("enough")

    monkeypatch.setattr(finetune, "found_in", found_in)
    monkeypatch.setattr(fit, "begun_with", lambda start: ("theirs", LEARNED))
    with pytest.raises(PhotoError, match="enough"):
        finetune.tune(bundle_dir, tmp_path, tmp_path / "run")
    assert given == [LEARNED]
