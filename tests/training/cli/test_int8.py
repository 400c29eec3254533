"""`ostiary-train int8` as a command: who teaches and who judges, and what it refuses early."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import typer

from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.bundle import MANIFEST, sha256
from ostiary.edge.runtime.manifest import Manifest, ModelEntry
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.results import Gate
from ostiary.training.cli import int8
from ostiary.training.data import photos as data
from ostiary.training.run import checkpoint
from tests.support import tiny_bundle
from tests.support.training.int8_parts import DIM, SPEC, folder, people, table, tiny

ALONE, SEVERAL = people(264, seed=1), people(130, seed=2, each=2)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return made(tmp_path / "bundle", "my-encoder")


def made(path: Path, recipe: str) -> Path:
    """A bundle of the encoder that learns, as far as its manifest goes, with its table."""
    tiny_bundle.make(path)
    files = {"encoder.onnx": normal_form.to_bytes(tiny()), tables.FILE: tables.to_text(table())}
    for name, held in files.items():
        (path / name).write_bytes(held)
    manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    channels = cast(Any, SPEC.channels)
    encoder = ModelEntry(
        "encoder.onnx", "input", ["embedding"], SPEC.size_px, channels, SPEC.mean, SPEC.scale
    )
    manifest = msgspec.structs.replace(
        manifest,
        recipe=recipe,
        encoder_id=sha256(files["encoder.onnx"]),
        dim=DIM,
        models=msgspec.structs.replace(manifest.models, encoder=encoder),
        files=manifest.files | {name: sha256(held) for name, held in files.items()},
    )
    (path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return path


class Found:
    """A folder of people, and in place of the device's front end what it would find in it."""

    def __init__(self, faces: Path) -> None:
        self.faces, self.looks = faces, 0
        self.put(folder(ALONE, SEVERAL))

    def put(self, crops: Crops, unreadable: int = 0) -> None:
        paths = [
            self.faces / crops.names[owner] / f"{row}.jpg" for row, owner in enumerate(crops.person)
        ]
        bad = [self.faces / crops.names[0] / f"bad{at}.jpg" for at in range(unreadable)]
        for path in (*paths, *bad):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        left_out = [(path, f"{path} is cut short") for path in bad]
        self.crops = replace(crops, paths=paths, left_out=left_out)

    def read(self, *_: object) -> Crops:
        self.looks += 1
        return self.crops


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Found:
    made = Found(tmp_path / os.fsdecode(b"caf\xe9"))
    monkeypatch.setattr(data, "read_crops", made.read)
    return made


def teach(bundle: Path, found: Found) -> Path:
    """The run's folder, whatever the gate says of so little."""
    run = bundle.parent / "run"
    with suppress(typer.Exit):
        int8.teach(bundle, found.faces, run, epochs=1, rate=0.02)
    return run


def gate(run: Path) -> Gate:
    return msgspec.json.decode((run / "my-encoder.gate.json").read_bytes(), type=Gate)


def test_who_may_be_one_with_somebody_teaches_and_does_not_judge(
    bundle: Path, found: Found
) -> None:
    """Of photos under two names neither counts, of one there twice the second does not; of whom
    one photo is then left teaches."""
    first = len(ALONE)
    one, other, again = [first, first + 1], [first + 2, first + 3, first + 4], first + 6
    images, person = found.crops.images.copy(), found.crops.person.copy()
    person[other] = person[other[0]]
    images[other[0]], images[again + 1] = images[one[0]], images[again]
    found.put(replace(found.crops, images=images, person=person))
    run = teach(bundle, found)
    taught = tables.read(run / "my-encoder.table.json").photos
    left = {found.crops.photos[row] for row in (one[1], *other[1:], first + 5, again)}
    assert set(taught) == {*ALONE.photos} | left
    assert gate(run).images == len(SEVERAL) - 2 - 1 - len(left)


def test_whom_the_encoder_learned_from_teaches_and_does_not_judge(
    bundle: Path, found: Found
) -> None:
    known = found.crops.photos[len(ALONE)]
    text = learned.to_text([known])
    (bundle / learned.FILE).write_bytes(text)
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
    files = manifest.files | {learned.FILE: sha256(text)}
    (bundle / MANIFEST).write_bytes(
        msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
    )
    run = teach(bundle, found)
    photos = tables.read(run / "my-encoder.table.json").photos
    assert set(photos) == {*ALONE.photos, *found.crops.photos[len(ALONE) : len(ALONE) + 2]}
    assert gate(run).images == len(SEVERAL) - 2


def test_a_name_of_other_bytes_is_kept_as_text(
    bundle: Path, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    run = teach(bundle, found)
    assert gate(run).data_set == r"caf\udce9"
    said = capsys.readouterr().out
    assert "from caf\\udce9" in said
    assert "next: ostiary-export build my-encoder.toml --recorded" in said


def test_too_few_who_would_judge_are_refused_before_anybody_teaches(
    bundle: Path, found: Found
) -> None:
    found.put(folder(ALONE, people(12, seed=3, each=2)))
    with pytest.raises(PhotoError, match="too few for a verdict"):
        teach(bundle, found)
    assert not checkpoint.begun(bundle.parent / "run")


def test_many_photos_that_cannot_be_read_are_refused(bundle: Path, found: Found) -> None:
    found.put(found.crops, unreadable=60)
    with pytest.raises(PhotoError, match=r"60 of the 584 photos .* cannot be read, more than 5%"):
        teach(bundle, found)


@pytest.mark.parametrize("recipe", ["../../elsewhere", "", "a/b", "name\n"])
def test_a_recipe_that_is_no_name_is_refused_before_it_looks_for_faces(
    tmp_path: Path, found: Found, recipe: str
) -> None:
    with pytest.raises(BundleError, match="is not a valid recipe name"):
        teach(made(tmp_path / "bundle", recipe), found)
    assert found.looks == 0
    assert not (tmp_path / "run").exists()
