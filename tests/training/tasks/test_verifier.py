"""The logistic head in training: who is judged, what is measured, and that the door computes it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.heads import verifier_file
from ostiary.training.judge import reliability
from ostiary.training.judge.objections import objections
from ostiary.training.judge.pairs import pairs_of
from ostiary.training.tasks import verifier as training
from ostiary.training.tasks.verifier import Embedded
from tests.support import made_verifier
from tests.support.fakes import unit
from tests.support.training.crowd import DIM, HOW, crowd, parts_of

torch.set_num_threads(1)

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made() -> verifier_file.VerifierFile:
    given = crowd(noisy=4)
    with_int8 = Embedded(given.templates, given.person, unit(given.templates + 0.002))
    return training.train(with_int8, "a" * 64, "made up", "b" * 64, HOW)


def test_a_head_learns_which_values_to_leave_alone(made: verifier_file.VerifierFile) -> None:
    weights = np.array(made.weights)
    assert weights[:-4].max() < 3 * weights[-4:].min() < 0
    assert made.float_float.gain.low > 0.01, "the plain distance takes the noise for the person"
    assert made.float_float.auc.value > 0.97
    assert made.float_float.calibration_error < 0.05
    assert objections(made) == []


def test_the_door_computes_what_torch_does(made: verifier_file.VerifierFile) -> None:
    given, head = crowd(seed=9).templates, made.head()
    apart = (torch.from_numpy(given[:50]).double() - torch.from_numpy(given[50]).double()).abs()
    z = apart @ torch.tensor(made.weights, dtype=torch.float64) + made.bias
    there = verifier_file.parse(verifier_file.to_text(made), "verifier.json").head()
    assert np.abs(there.logits(given[:50], given[50]) - z.numpy()).max() < 1e-6
    assert head.weights.tolist() == there.weights.tolist()


def changed(given: Embedded, part: int) -> Embedded:
    """The same, but who is fitted on (0), calibrated on (1) or judged (2) has other faces: such
    that no value is noise, so that weights held together rank them best."""
    rows, hit = given.templates.copy(), np.isin(given.person, parts_of(given, HOW.seed)[part])
    rows[hit] = crowd(seed=1).templates[hit]
    return Embedded(rows, given.person)


def test_who_is_judged_has_no_part_in_the_head_and_the_others_have() -> None:
    given = crowd(noisy=4)

    def learned(faces: Embedded) -> tuple[list[float], float, float]:
        how = msgspec.structs.replace(HOW, strengths=(1e-4, 1e3))
        file = training.train(faces, "a" * 64, "made up", settings=how)
        return file.weights, file.bias, file.shrinkage

    first, others = learned(given), learned(changed(given, 1))
    assert learned(changed(given, 2)) == first
    assert (first[2], others[2]) == (1e-4, 1e3), "the strength is chosen on the calibrated"
    assert learned(changed(given, 0))[0] != first[0]


def test_int8_probes_are_judged_as_what_they_are() -> None:
    """Pair by pair: the earlier photo's float template against the later one's int8 probe."""
    given = crowd(noisy=4)
    noise = np.random.default_rng(3).standard_normal(given.templates.shape)
    probes = unit(given.templates + 0.2 * noise)
    with_int8 = Embedded(given.templates, given.person, probes)
    file = training.train(with_int8, "a" * 64, "made up", "b" * 64, HOW)
    judged = np.isin(given.person, parts_of(given)[2])
    a, b, person = given.templates[judged], probes[judged], given.person[judged]
    z = file.head()
    found: dict[bool, list[float]] = {True: [], False: []}
    scores: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(a)):
        logits, cosines = z.logits(a[i] * np.ones_like(b), b), b.astype(float) @ a[i]
        for j in range(i + 1, len(a)):
            same = bool(person[i] == person[j])
            found[same].append(logits[j])
            scores[same].append(cosines[j])
    assert file.float_int8 is not None
    counts = file.float_int8.counts
    assert (len(found[True]), len(found[False])) == (counts.genuines, counts.impostors)
    below = [sum(value < point for value in found[True]) for point in training.GRID[::40]]
    assert counts.genuine_below[::40] == below
    tau = sorted(scores[False])[-int(1e-3 * counts.impostors) - 1]
    lost = sum(value <= tau for value in scores[True]) / counts.genuines
    assert file.float_int8.distance_fnmr == pytest.approx(lost, abs=1e-12)
    assert file.float_int8.distance_fnmr > file.float_float.distance_fnmr > 0
    assert file.float_float == training.train(given, "a" * 64, "made up", None, HOW).float_float


def test_the_same_seed_gives_the_same_bytes_and_another_judges_others(
    made: verifier_file.VerifierFile,
) -> None:
    given = crowd(noisy=4)
    with_int8 = Embedded(given.templates, given.person, unit(given.templates + 0.002))
    again = training.train(with_int8, "a" * 64, "made up", "b" * 64, HOW)
    assert verifier_file.to_text(again) == verifier_file.to_text(made)
    other = msgspec.structs.replace(HOW, seed=1)
    assert training.train(with_int8, "a" * 64, "made up", "b" * 64, other).weights != made.weights


def test_the_more_the_weights_are_held_together_the_less_they_differ() -> None:
    given = crowd(people=20, noisy=4)
    pairs = pairs_of(given.person)
    apart = np.abs(given.templates[pairs.first] - given.templates[pairs.second]).astype(float)
    same = torch.from_numpy(pairs.same)
    spread = [
        np.ptp(training.fit(torch.from_numpy(apart), same, s).weights) for s in (1e-5, 0.1, 1e3)
    ]
    assert spread[0] > 2 * spread[1] > 100 * spread[2]
    held = training.fit(torch.from_numpy(apart), same, 1e3)
    assert held.weights.max() < 0, "held together they are the L1 distance, not nothing"


def test_the_fit_is_a_minimum_of_its_loss() -> None:
    given = crowd(people=12)
    pairs = pairs_of(given.person)
    apart = np.abs(given.templates[pairs.first] - given.templates[pairs.second]).astype(float)
    found = training.fit(torch.from_numpy(apart), torch.from_numpy(pairs.same), 1e-2)

    def loss(weights: np.ndarray, bias: float) -> float:
        """Term by term: the mean over genuine and over impostor pairs, and the penalty."""
        told: dict[bool, list[float]] = {True: [], False: []}
        for row, same in zip(apart, pairs.same, strict=True):
            z = sum(w * v for w, v in zip(weights, row, strict=True)) + bias
            told[bool(same)].append(np.log1p(np.exp(-z)) if same else np.log1p(np.exp(z)))
        penalty = sum((w - weights.mean()) ** 2 for w in weights)
        return float(np.mean(told[True]) / 2 + np.mean(told[False]) / 2 + 1e-2 * penalty)

    least, rng = loss(found.weights, found.bias), np.random.default_rng(0)
    for _ in range(6):
        assert loss(found.weights + rng.normal(0, 0.05, DIM), found.bias) > least
    assert min(loss(found.weights, found.bias + step) for step in (-0.05, 0.05)) > least


def test_calibration_makes_a_boastful_head_true_and_keeps_the_order() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(6000) < 2000
    honest = np.where(same, 1.5, -1.5) + np.sqrt(3) * rng.standard_normal(6000)
    head = training.calibrate(Verifier(np.full(DIM, -10.0), 5.0), 10 * honest + 5, same, 0.5)
    assert head.weights[0] == pytest.approx(-1.0, rel=0.1)
    assert head.bias == pytest.approx(0.0, abs=0.15)
    with pytest.raises(PhotoError, match="cannot tell apart"):
        training.calibrate(head, -honest, same, 0.5)


def test_people_told_apart_without_an_error_do_not_make_it_certain() -> None:
    same = np.arange(100) < 50
    head = training.calibrate(Verifier(np.ones(1), 0.0), np.where(same, 1.0, -1.0), same, 0.5)
    assert head.weights[0] + head.bias == pytest.approx(np.log(51), rel=0.02), "Platt: 51 of 52"


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(2)
    genuine = rng.integers(0, 9, 30).astype(np.float64) + 2
    impostor = rng.integers(0, 9, 40).astype(np.float64)
    g, i = rng.integers(0, 4, 30), rng.integers(0, 4, 40)
    won = sum(
        a * b * (1.0 if x > y else 0.5 if x == y else 0.0)
        for x, a in zip(genuine, g, strict=True)
        for y, b in zip(impostor, i, strict=True)
    )
    found = reliability.Ranking(genuine, impostor).auc(g, i)
    assert found == pytest.approx(won / (g.sum() * i.sum()), abs=1e-12)


def test_the_gain_of_a_head_that_is_the_distance_is_none_at_all() -> None:
    given = crowd(people=15)
    pairs = pairs_of(given.person)
    z = np.einsum("ij,ij->i", given.templates[pairs.first], given.templates[pairs.second])
    a, b = given.person[pairs.first], given.person[pairs.second]
    people = a[: pairs.genuines], np.stack([a, b], 1)[pairs.genuines :]
    auc, plain, gain = reliability.areas(pairs.split(z), pairs.split(z), people, draws=20)
    assert auc == plain
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)
    assert auc.low <= auc.value <= auc.high


def test_the_calibration_error_is_the_bins_gap_written_out() -> None:
    rng = np.random.default_rng(4)
    genuine, impostor, prior = rng.random(300) ** 0.5, rng.random(900) ** 2, 0.3
    wanted = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        inside = [p for p in genuine if low <= p < high], [p for p in impostor if low <= p < high]
        mass = prior * len(inside[0]) / 300, (1 - prior) * len(inside[1]) / 900
        said = prior * sum(inside[0]) / 300 + (1 - prior) * sum(inside[1]) / 900
        wanted += abs(mass[0] - said)
    bins = reliability.reliability(genuine, impostor, prior)
    assert reliability.calibration_error(bins) == pytest.approx(wanted, abs=1e-12)
    assert sum(item.weight for item in bins) == pytest.approx(1.0)
    assert sum(item.genuines for item in bins) == 300
    certain = reliability.reliability(np.ones(5), np.zeros(5), 0.5)
    assert (len(certain), reliability.calibration_error(certain)) == (2, 0.0)


def test_a_worse_or_untrue_head_is_objected_to() -> None:
    good = made_verifier.made("a" * 64, 3, int8="b" * 64)
    assert objections(good) == []
    worse = msgspec.structs.replace(good, float_int8=made_verifier.judged(gain=-0.01))
    assert ["int8 probes" in problem for problem in objections(worse)] == [True]
    untrue = msgspec.structs.replace(good, float_float=made_verifier.judged(error=0.051))
    assert ["calibration error" in problem for problem in objections(untrue)] == [True]
    least = 0.05 - good.fnmr("float_int8")
    assert least > 0
    lost = made_verifier.judged(false=2.5)
    shut = msgspec.structs.replace(good, float_int8=lost)
    assert shut.fnmr("float_int8") > 0.5
    assert ["loses" in problem for problem in objections(shut)] == [True]
    plain = made_verifier.judged(false=2.5, plain_fnmr=shut.fnmr("float_int8") - 0.049)
    assert objections(msgspec.structs.replace(good, float_int8=plain)) == []


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (crowd(people=2), PhotoError, "of 2 people, 0 with"),
        (crowd(people=141), PhotoError, "22 with several photos are left to calibrate on and 49"),
        (
            crowd(people=143, photos=1),
            PhotoError,
            "0 with several photos are left",
        ),
        (crowd(people=143, photos=2), BundleError, "impostor pairs"),
    ],
)
def test_too_few_photos_are_no_evidence(given: Embedded, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        training.train(given, "a" * 64, "few", settings=HOW)
