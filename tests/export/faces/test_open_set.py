"""Evaluation against naive loops on made-up people, and the acceptance figures on real ones."""

from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.bundle import build
from ostiary.export.faces.crops import read_crops
from ostiary.export.faces.kinds import People
from ostiary.export.faces.open_set import Search, det_file, open_set
from ostiary.export.faces.pairs import all_pairs
from ostiary.export.graphs import run
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from tests.support.fakes import image, unit
from tests.support.places import write_png


def made_up(people: int, images: int, noise: float, seed: int = 0) -> People:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 64))
    rows = centres.repeat(images, axis=0) + noise * rng.standard_normal((people * images, 64))
    person = np.arange(people).repeat(images)
    return People(unit(rows), unit(rows), person)


@pytest.mark.parametrize("crossed", [False, True])
def test_all_pairs_are_all_pairs(crossed: bool) -> None:
    people = made_up(7, 3, 0.5)
    templates = people.templates
    probes = made_up(7, 3, 0.5, seed=1).templates if crossed else templates
    genuine, impostor, pairs = all_pairs(templates, probes, people.person)
    naive = [
        (float(templates[i] @ probes[j]), people.person[i] == people.person[j])
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
        all_pairs(alone.templates, alone.templates, alone.person)


def test_the_curve_counts_what_was_measured() -> None:
    people = made_up(100, 3, 0.8)
    curve, rows = det_file("a" * 64, "made up", people.templates, people.person)
    assert (curve.people, curve.images) == (100, 300)
    assert curve.float_float.genuines == 100 * 3
    assert curve.float_float.impostors == 300 * 299 // 2 - 300
    found = curve.curve()
    genuine, impostor, _ = all_pairs(people.templates, people.templates, people.person)
    at = 0.3
    assert found.fmr(at) == pytest.approx(np.mean([s >= at for s in impostor]))
    assert found.fnmr(at) == pytest.approx(np.mean([s < at for s in genuine]))
    assert [row.fmr for row in rows] == [1e-2, 1e-3], "at 1e-4 only 4 impostor pairs are left"


def test_open_set_lets_in_what_was_asked_for_and_a_fixed_tau_lets_in_more() -> None:
    people = made_up(400, 3, 0.9)
    small, large = open_set(people, Search((20, 150), 0.05, draws=10))
    for row in (small, large):
        assert 0.05 / 3 <= row.fpir.value <= 0.1
    assert large.fixed_fpir > small.fixed_fpir
    assert large.tau > small.tau
    assert open_set(people, Search((5000,), 0.05)) == []


def test_a_folder_of_too_few_people_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no folder"):
        read_crops(bundle, tmp_path / "none", "auto", lambda done, total: None)
    (tmp_path / "one").mkdir()
    write_png(tmp_path / "one" / "a.png", image(3))
    with pytest.raises(PhotoError, match="photos of 1 people"):
        read_crops(bundle, tmp_path, "auto", lambda done, total: None)


@pytest.mark.long
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("mobilefacenet-192", (0.974, 0.945)),
        ("faceplugin-512", (0.98, 0.96)),
        ("sface-128", (0.985, 0.976)),
    ],
)
def test_the_acceptance_figures_on_real_faces(
    name: str, least: tuple[float, float], faces_data: Path, tmp_path: Path
) -> None:
    plan = recipe.load(name)
    made = build.build(plan, tmp_path / "b", Options(int8=False), lambda stage: None)
    crops = read_crops(made, faces_data, "auto", lambda done, total: None)
    assert crops.missing == {}
    rows = run.embed((made.path / "encoder.onnx").read_bytes(), crops.images, plan.spec)
    curve, found = det_file(made.encoder_id, "faces", rows, crops.person)
    tar = {row.fmr: row.tar.value for row in found}
    assert tar[1e-3] >= least[0]
    assert tar[1e-4] >= least[1]
    for row in open_set(People(rows, rows, crops.person), Search()):
        assert 0.003 <= row.fpir.value <= 0.02
        assert row.fixed_fpir > 0.05
    # The recorded curve was measured without the photos of the calibration.
    assert plan.recorded.curve is not None
    for k in (1, 100, 1000):
        measured = threshold(curve.curve(), 0.01, k).tau
        recorded = threshold(plan.recorded.curve.curve(), 0.01, k).tau
        # Three steps of the grid, and the rounding of their sum.
        assert recorded == pytest.approx(measured, abs=0.0061)
