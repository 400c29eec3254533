"""What lies in a folder of faces: every photo is used or told, and known people are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import Done
from ostiary.export.faces.crops import Crops, inside
from ostiary.training.data import photos
from ostiary.training.data.photos import read_faces, told

NO_BUNDLE = cast(Bundle, None)
"""Where no face is looked for."""


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def noise_of(bundle: Bundle, folder: Path, backend: str, done: Done) -> Crops:
    """A face for each photo that `read_crops` would look at."""
    found = [path for path in inside(folder) if is_photo(path)]
    names = sorted({path.parent.name for path in found})
    images = np.random.default_rng(0).integers(0, 255, (len(found), 64, 64, 3), np.uint8)
    person = np.array([names.index(path.parent.name) for path in found])
    return Crops(images, person, [str(path) for path in found], names, {}, {}, found)


def test_nothing_in_a_folder_is_passed_over_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, *(f"{name}/{i}.jpg" for name in "ab" for i in range(20)))
    files(tmp_path, "c/1.CR2", "d/1.jpg", "d/2.jxl", "stray.jpg", "a/old/1.jpg")
    (tmp_path / "empty").mkdir()
    files(tmp_path, *(f"a/{i}.pts" for i in range(20)), "b/README")
    files(tmp_path, ".DS_Store", "a/.DS_Store", "a/Thumbs.db", "b/desktop.ini")
    files(tmp_path, "b/._1.jpg", ".thumbnails/1.jpg", "a/.picasa/1.jpg")
    monkeypatch.setattr(photos, "read_crops", noise_of)
    said: list[str] = []
    faces = read_faces(NO_BUNDLE, tmp_path, said.append)
    left = faces.left_out
    assert faces.names == ["a", "b"]
    assert list(left.unreadable) == ["c/1.CR2", "d/2.jxl"]
    assert "this format is not read" in left.unreadable["c/1.CR2"]
    assert left.few == {"d": 1, "c": 0, "empty": 0}
    assert left.elsewhere[:3] == ["stray.jpg", "a/0.pts", "a/1.pts"]
    assert left.elsewhere[-2:] == ["a/old", "b/README"]
    assert said == told(faces)
    for name in ("c/1.CR2", "d/2.jxl", "empty", "stray.jpg", "a/0.pts"):
        assert any(name in line for line in said)
    assert json.loads(msgspec.json.encode(left))["elsewhere"] == left.elsewhere


def test_whom_the_encoder_learned_from_is_known_by_any_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by one that is not used itself: there twice, or under another's name too."""
    files(tmp_path, *(f"{name}/{i}.jpg" for name in "abcdef" for i in range(3)))
    crops = noise_of(NO_BUNDLE, tmp_path, "auto", lambda done, total: None)
    names = [f"{path.parent.name}{path.stem}" for path in crops.paths]
    images = crops.images.copy()
    images[names.index("a1")] = images[names.index("a0")]
    images[names.index("c1")] = images[names.index("d2")]
    found = replace(crops, images=images, photos=names)
    monkeypatch.setattr(photos, "read_crops", lambda *given: found)
    said: list[str] = []
    faces = read_faces(NO_BUNDLE, tmp_path, said.append, learned=["a1", "b2", "elsewhere"])
    assert "a1" not in faces.crops.photos
    assert faces.barred == {"a", "b", "c", "d"}
    assert [faces.names[i] for i in np.unique(faces.judges().person)] == ["e", "f"]
    assert said[0] == "2 people whom the encoder learned from are left out of every evaluation"
    assert read_faces(NO_BUNDLE, tmp_path, said.append).barred == {"c", "d"}


def test_of_other_formats_too_many_are_refused_before_any_face_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(photos, "read_crops")
    files(tmp_path, *(f"{name}/{i}.jpg" for name in "ab" for i in range(10)))
    files(tmp_path, "a/x.dng", "c/y.jp2")
    with pytest.raises(PhotoError, match=r"2 of the 22 photos .* more than 5%: a/x.dng, c/y.jp2"):
        read_faces(NO_BUNDLE, tmp_path, lambda line: None)


def test_where_no_photo_can_be_read_the_formats_are_told(tmp_path: Path) -> None:
    files(tmp_path, "a/1.dng", "b/1.dng", "a/._1.jpg", ".thumbnails/1.jpg")
    with pytest.raises(PhotoError, match="photos of 0 people") as caught:
        read_faces(NO_BUNDLE, tmp_path, lambda line: None, most_unreadable=1.0)
    assert ".jpg, .jpeg, .png" in caught.value.hint
