"""What is measured of embeddings, against plain loops over pairs and people."""

from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.training.judge import bootstrap, evaluation
from ostiary.training.judge.bootstrap import eer_draws
from ostiary.training.judge.embed import eer
from tests.support.training import judged

Scores = list[np.float32]


def scores_of(embeddings: np.ndarray, person: np.ndarray) -> tuple[Scores, Scores]:
    """(genuine, impostor) by a loop over every two photos."""
    genuine, impostor = Scores(), Scores()
    for i in range(len(person)):
        for j in range(i + 1, len(person)):
            score = np.float32(embeddings[i] @ embeddings[j])
            (genuine if person[i] == person[j] else impostor).append(score)
    return genuine, impostor


def weighted_eer(embeddings: np.ndarray, person: np.ndarray, times: dict[int, int]) -> float:
    """The EER with each pair taken as often as its people were drawn."""
    genuine, impostor = list[float](), list[float]()
    for i in range(len(person)):
        for j in range(i + 1, len(person)):
            score, a, b = float(embeddings[i] @ embeddings[j]), int(person[i]), int(person[j])
            if a == b:
                genuine += [score] * times[a]
            else:
                impostor += [score] * (times[a] * times[b])
    return eer(np.array(genuine, np.float32), np.array(impostor, np.float32))


def test_draws_are_those_of_a_loop_over_pairs() -> None:
    person = np.repeat([3, 5, 6], [2, 3, 1])
    embeddings = judged.embeddings(1.5, 3, person)
    found = eer_draws(embeddings, person, draws=12, seed=4)
    rng = np.random.default_rng(4)
    expected: list[float] = []
    while len(expected) < 12:
        drawn = rng.integers(0, 3, 3)
        times = {one: int((drawn == at).sum()) for at, one in enumerate((3, 5, 6))}
        both_kinds = sum(n > 0 for n in times.values()) > 1 and (times[3] or times[5])
        if both_kinds:
            expected.append(weighted_eer(embeddings, person, times))
    assert len(set(expected)) > 3
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_sample_of_impostors_gives_nearly_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    person = np.repeat(np.arange(30), 4)
    embeddings = judged.embeddings(1.2, 5, person)
    every = eer_draws(embeddings, person, draws=40)
    monkeypatch.setattr(bootstrap, "MOST_IMPOSTORS", 6000)
    sampled = eer_draws(embeddings, person, draws=40)
    assert not np.array_equal(every, sampled)
    assert sampled == pytest.approx(every, abs=0.02)


def test_the_interval_of_few_people_is_wider() -> None:
    few, many = np.repeat(np.arange(6), 4), np.repeat(np.arange(60), 4)
    widths = [
        np.ptp(np.quantile(eer_draws(judged.embeddings(1.2, 5, p), p), [0.025, 0.975]))
        for p in (few, many)
    ]
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize("people", [2, 9, 10])
def test_of_fewer_than_ten_people_the_interval_is_the_widest(people: int) -> None:
    person = np.repeat(np.arange(people), 4)
    before, after = (
        evaluation.measure("x", judged.embeddings(spread, 1, person), person)
        for spread in (2.0, 1.5)
    )
    fall = evaluation.fall(before, after)
    assert fall is not None
    intervals = [(rate.low, rate.high) for rate in (before.eer, after.eer, fall)]
    assert (intervals == [(0, 1), (0, 1), (-1, 1)]) == (people < 10)


@pytest.mark.parametrize("person", [[1, 1, 1], [1, 2, 3]])
def test_without_pairs_of_a_kind_there_is_nothing_to_measure(person: list[int]) -> None:
    embeddings = judged.embeddings(1.0, 0, np.array(person))
    with pytest.raises(PhotoError, match="no pair of the same person"):
        eer_draws(embeddings, np.array(person))
    with pytest.raises(PhotoError):
        evaluation.measure("best", embeddings, np.array(person))


def test_numbers_of_people_need_not_be_dense() -> None:
    dense_person = np.repeat(np.arange(12), 5)
    embeddings = judged.embeddings(1.5, 1, dense_person)
    found = evaluation.measure("x", embeddings, 7 * dense_person + 4)
    dense = evaluation.measure("x", embeddings, dense_person)
    assert (found.people, found.images, len(found.tar)) == (12, 60, 1)
    assert (found.eer, found.tar, found.counts) == (dense.eer, dense.tar, dense.counts)
    assert found.eer.low < found.eer.value < found.eer.high
    assert sorted(set(found.plane.person)) == [7 * one + 4 for one in range(12)]


def test_counts_and_worst_pairs_are_those_of_a_loop() -> None:
    embeddings, person = judged.embeddings(1.5, 1), judged.PERSON
    found = evaluation.measure("x", embeddings, person)
    genuine, impostor = scores_of(embeddings, person)
    counts = found.counts
    assert (counts.genuines, counts.impostors) == (len(genuine), len(impostor))
    every = {
        (sum(s >= tau for s in impostor), sum(s < tau for s in genuine))
        for tau in [*genuine, *impostor]
    }
    along = list(zip(counts.impostor_at_or_above, counts.genuine_below, strict=True))
    # Scores are told apart to the last bit, which a loop's sum need not have.
    assert len(along) > 60
    assert len(set(along) - every) <= 3
    assert along == sorted(along, key=lambda point: (-point[0], point[1]))
    lowest = sorted(genuine)[:5]
    highest = sorted(impostor, reverse=True)[:5]
    assert [pair.score for pair in found.worst] == pytest.approx([*lowest, *highest], abs=1e-6)
    for pair in found.worst:
        assert float(embeddings[pair.a] @ embeddings[pair.b]) == pytest.approx(pair.score, abs=1e-6)
        assert (person[pair.a] == person[pair.b]) == (pair.kind == "genuine")


def test_the_plane_is_that_of_the_covariances_eigenvectors() -> None:
    embeddings, person = judged.embeddings(0.8, 2), judged.PERSON
    found = evaluation.plane(embeddings, person)
    values, vectors = np.linalg.eigh(np.cov(embeddings.T.astype(np.float64)))
    assert found.share == pytest.approx(values[[-1, -2]] / values.sum(), rel=1e-5)
    centred = embeddings - embeddings.mean(axis=0)
    expected = centred @ vectors[:, [-1, -2]]
    assert np.abs(np.array(found.points)) == pytest.approx(np.abs(expected), abs=2e-5)
    assert found.person == person.tolist()


def test_only_as_many_people_and_photos_are_drawn_as_can_be_told_apart() -> None:
    counts = [3] * 10 + [30] * 3 + [4] * 4
    person = np.repeat(np.arange(17), counts)
    found = evaluation.plane(judged.embeddings(1.0, 0, person), person)
    drawn = {one: found.person.count(one) for one in found.person}
    assert drawn == {**dict.fromkeys(range(5), 3), 10: 20, 11: 20, 12: 20} | dict.fromkeys(
        range(13, 17), 4
    )


def test_a_collapsed_encoder_is_measured() -> None:
    same = np.tile(judged.embeddings(1.0)[:1], (30, 1))
    found = evaluation.measure("collapsed", same, judged.PERSON)
    assert found.eer.value == pytest.approx(0.5)
    assert found.plane.share == (0, 0)


def test_the_fall_is_of_the_same_draws() -> None:
    before, after = judged.untrained(), judged.best()
    found = evaluation.fall(before, after)
    assert found is not None
    assert found.value == pytest.approx(before.eer.value - after.eer.value)
    apart = [a - b for a, b in zip(before.drawn, after.drawn, strict=True)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])))
    same = evaluation.fall(before, before)
    assert same is not None
    assert (same.low, same.value, same.high) == (0, 0, 0)
    fewer = evaluation.measure("best", judged.embeddings(0.5)[:25], judged.PERSON[:25])
    assert evaluation.fall(before, fewer) is None
    assert evaluation.fall(before, judged.best("guard")) is None


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert evaluation.read(tmp_path) == evaluation.Evaluations()
    evaluation.write(tmp_path, [judged.untrained(), judged.best("guard")], judged.DATA)
    held = evaluation.read(tmp_path)
    assert held.evaluations == [judged.untrained(), judged.best("guard")]
    assert held.data == judged.DATA
    assert [(name, len(some)) for name, some in held.data_sets().items()] == [("", 1), ("guard", 1)]


def test_a_file_that_is_none_and_too_many_encoders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 encoders were evaluated on one data set"):
        evaluation.write(tmp_path, [judged.best()] * 4)
    (tmp_path / evaluation.EVALUATION).write_text('{"evaluations": [{"name": 3}]}')
    with pytest.raises(ConfigError, match=r"evaluation.json: .*name"):
        evaluation.read(tmp_path)
