"""Evaluation against naive loops on made-up people, and the acceptance figures on real ones."""

from pathlib import Path

import numpy as np
import pytest
from fakes import image, unit
from places import write_png

from edge.core.calibration import threshold
from edge.errors import PhotoError
from edge.runtime.bundle import Bundle
from export.evaluate import all_pairs, det_file, open_set
from export.people import People, read_people


def made_up(people: int, images: int, noise: float, seed: int = 0) -> People:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 64))
    rows = centres.repeat(images, axis=0) + noise * rng.standard_normal((people * images, 64))
    person = np.arange(people).repeat(images)
    return People(unit(rows), person, [f"p{i}" for i in range(people)], {}, {})


def test_all_pairs_are_all_pairs() -> None:
    people = made_up(7, 3, 0.5)
    genuine, impostor, pairs = all_pairs(people.embeddings, people.person)
    naive = [
        (float(people.embeddings[i] @ people.embeddings[j]), people.person[i] == people.person[j])
        for i in range(21)
        for j in range(i + 1, 21)
    ]
    assert sorted(genuine.tolist()) == pytest.approx(
        sorted(s for s, same in naive if same), abs=1e-6
    )
    assert sorted(impostor.tolist()) == pytest.approx(
        sorted(s for s, same in naive if not same), abs=1e-6
    )
    assert pairs.impostors == len(impostor)
    assert pairs.tail[0] == impostor.max()
    assert pairs.images.tolist() == [3] * 7


def test_nothing_to_compare_is_an_error() -> None:
    alone = made_up(5, 1, 0.1)
    with pytest.raises(PhotoError, match="no pair of the same person"):
        all_pairs(alone.embeddings, alone.person)


def test_the_curve_counts_what_was_measured() -> None:
    people = made_up(100, 3, 0.8)
    curve, rows = det_file("a" * 64, "made up", people)
    assert (curve.people, curve.images) == (100, 300)
    assert curve.genuines == 100 * 3
    assert curve.impostors == 300 * 299 // 2 - 300
    found = curve.curve()
    genuine, impostor, _ = all_pairs(people.embeddings, people.person)
    at = 0.3
    assert found.fmr(at) == pytest.approx(np.mean([s >= at for s in impostor]))
    assert found.fnmr(at) == pytest.approx(np.mean([s < at for s in genuine]))
    assert [row.fmr for row in rows] == [1e-2, 1e-3, 1e-4]


def test_open_set_lets_in_what_was_asked_for_and_a_fixed_tau_lets_in_more() -> None:
    people = made_up(400, 3, 0.9)
    small, large = open_set(people, [20, 150], 0.05, draws=10)
    for row in (small, large):
        assert 0.05 / 3 <= row.fpir.value <= 0.1
    assert large.fixed_fpir > small.fixed_fpir
    assert large.tau > small.tau
    assert open_set(people, [5000], 0.05) == []


def test_a_folder_of_too_few_people_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no folder"):
        read_people(bundle, tmp_path / "none", "auto", lambda done, total: None)
    (tmp_path / "one").mkdir()
    write_png(tmp_path / "one" / "a.png", image(3))
    with pytest.raises(PhotoError, match="photos of 1 people"):
        read_people(bundle, tmp_path, "auto", lambda done, total: None)


@pytest.mark.long
@pytest.mark.data
def test_the_acceptance_figures_on_real_faces(bundle: Bundle, faces_data: Path) -> None:
    people = read_people(bundle, faces_data, "auto", lambda done, total: None)
    assert people.missing == {}
    curve, rows = det_file(bundle.encoder_id, "faces", people)
    tar = {row.fmr: row.tar.value for row in rows}
    assert tar[1e-3] >= 0.974
    assert tar[1e-4] >= 0.945
    for row in open_set(people, [100, 300], 0.01, draws=20):
        assert 0.003 <= row.fpir.value <= 0.02
        assert row.fixed_fpir > 0.05
    # The committed curve was measured on the same pairs, by another backend.
    for k in (1, 100, 1000):
        measured = threshold(curve.curve(), 0.01, k).tau
        assert threshold(bundle.curve(), 0.01, k).tau == pytest.approx(measured, abs=0.006)
