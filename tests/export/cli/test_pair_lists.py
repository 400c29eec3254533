"""`ostiary-export evaluate --pairs`: which pairs are scored, by which encoder, what is printed."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.edge.errors import BundleError, ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.cli import evaluating, pair_lists
from ostiary.export.faces import excluded, learned
from ostiary.export.faces.crops import photo_id
from ostiary.export.faces.excluded import ExcludedPhoto, ExclusionList
from tests.support.fakes import image
from tests.support.places import refused, write_png


@pytest.fixture
def faces(portrait: Image, tmp_path: Path) -> Path:
    """Three people of one face: as it is, mirrored, and small; one of A's photos has no face."""
    small = cv2.resize(portrait, None, fx=0.5, fy=0.5)
    for at, (name, picture) in enumerate(
        [("A", portrait), ("B", portrait[:, ::-1]), ("C", np.asarray(small, np.uint8))]
    ):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for number in (1, 2):
            changed = np.clip(picture.astype(int) + 20 * number + at, 0, 255).astype(np.uint8)
            write_png(tmp_path / "faces" / name / f"{name}_{number:04d}.png", changed)
    write_png(tmp_path / "faces" / "A" / "A_0003.png", image(99))
    return tmp_path / "faces"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text("2 2\nA 1 2\nB 1 2\nA 1 B 1\nA 2 C 2\nC 1 2\nA 1 3\nB 2 C 1\nA 3 B 1\n")
    return path


def measured(bundle: Bundle, faces: Path, listed: Path, **more: Any) -> pair_lists.PairReport:
    return pair_lists.measure(
        bundle, faces, listed, more.get("exclude"), more.get("in_int8", False)
    )


def test_pairs_without_a_face_are_left_out_and_counted(
    bundle: Bundle, faces: Path, listed: Path
) -> None:
    found = measured(bundle, faces, listed)
    assert (found.pairs, found.without_face, found.wrong_labels, found.learned) == (8, 2, 0, 0)
    (figures,) = found.figures
    assert figures.comparison == "float_float"
    assert figures.accuracy is not None
    assert len(figures.accuracy.folds) == 2
    assert figures.tar == []


def test_int8_probes_are_measured_beside_float(bundle: Bundle, faces: Path, listed: Path) -> None:
    first, second = measured(bundle, faces, listed, in_int8=True).figures
    assert (first.comparison, second.comparison) == ("float_float", "float_int8")
    scores = pair_lists._scores(
        bundle,
        np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8),
        np.array([[0, 1], [2, 3]]),
        True,
    )
    assert (scores["float_float"] != scores["float_int8"]).all()
    assert np.allclose(scores["float_float"], scores["float_int8"], atol=0.2)


def test_photos_with_wrong_labels_and_learned_people_are_left_out(
    bundle: Bundle,
    faces: Path,
    listed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = photo_id(faces / "C" / "C_0002.png")
    path = tmp_path / "x.json"
    path.write_bytes(
        excluded.to_text(ExclusionList("x", [ExcludedPhoto(wrong, "C/C_0002.png", "")]))
    )
    found = measured(bundle, faces, listed, exclude=path)
    assert (found.without_face, found.wrong_labels) == (2, 2)
    # B's photo that the encoder learned from is in none of the pairs.
    (faces / "B" / "B_0007.png").write_bytes(b"learned")
    known = [photo_id(faces / "B" / "B_0007.png")]
    monkeypatch.setattr(learned, "in_bundle", lambda bundle: known)
    found = measured(bundle, faces, listed)
    assert (found.without_face, found.learned) == (2, 3)
    with pytest.raises(PhotoError, match="none of two people, that can be scored"):
        measured(bundle, faces, listed, exclude=path)


def test_the_command_prints_the_accuracy(
    bundle_dir: Path, faces: Path, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluating.evaluate(bundle_dir, faces, pairs=listed, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"] == 8
    mean = told["figures"][0]["accuracy"]["mean"]
    evaluating.evaluate(bundle_dir, faces, pairs=listed)
    assert f"accuracy {mean:.4f}" in capsys.readouterr().out
    listed.write_text("1\nA 1 2\nA 1 B 1\n")
    evaluating.evaluate(bundle_dir, faces, pairs=listed)
    assert "one fold" in capsys.readouterr().out


def test_options_that_do_not_fit_are_refused(
    bundle_dir: Path, faces: Path, listed: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no DET curve"):
        evaluating.evaluate(bundle_dir, faces, pairs=listed, write=True)
    without = bundles.read(bundle_dir).in_float()
    with pytest.raises(BundleError, match="no int8 encoder"):
        pair_lists.show(without, faces, listed, None, True, False)
    listed.write_text("1\nA 1 x\nA 1 B 1\n")
    said = refused("evaluate", bundle_dir, "--faces", faces, "--pairs", listed, program="export")
    assert "line 2: 'x' is not a number" in said
