"""The triplets of a batch, against a loop over every anchor that says the rule out loud."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.mining import choose

ALPHA = 2.0
Batch = tuple[np.ndarray, np.ndarray]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Whose images, of few people, and symmetric distances of few values: many tie."""
    person = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    half = np.triu(rng.integers(0, 7, (len(person), len(person))), 1)
    return (half + half.T).astype(np.float32), person


def anchors(person: np.ndarray) -> list[tuple[int, list[int], list[int]]]:
    """(anchor, positives, negatives) of each row that has both."""
    rows = range(len(person))
    found = [
        (a, [p for p in rows if person[p] == person[a] and p != a],
         [n for n in rows if person[n] != person[a]])
        for a in rows
    ]  # fmt: skip
    return [each for each in found if each[1] and each[2]]


def mined(batch: Batch, how: str, alpha: float = ALPHA, seed: int = 0) -> list[tuple[int, ...]]:
    distances, person = map(torch.from_numpy, batch)
    chosen = choose(distances, person, how, alpha, np.random.default_rng(seed))
    assert all(rows.dtype == torch.int64 for rows in chosen)
    return list(zip(*(rows.tolist() for rows in chosen), strict=True))


@given(batches())
def test_hardest_is_the_farthest_positive_and_the_nearest_negative(batch: Batch) -> None:
    d, person = batch
    expected = [
        (a, min(positives, key=lambda p: (-d[a, p], p)), min(negatives, key=lambda n: (d[a, n], n)))
        for a, positives, negatives in anchors(person)
    ]
    assert mined(batch, "hardest") == expected


def semi_hard(d: np.ndarray, a: int, p: int, negatives: list[int], alpha: float) -> int:
    between = [n for n in negatives if d[a, p] < d[a, n] < d[a, p] + alpha]
    violating = [n for n in negatives if d[a, n] <= d[a, p]]
    if between:
        return min(between, key=lambda n: (d[a, n], n))
    if violating:
        return min(violating, key=lambda n: (-d[a, n], n))
    return min(negatives, key=lambda n: (d[a, n], n))


@given(batches(), st.sampled_from([0.0, 1.5, ALPHA]))
def test_semi_hard_is_farther_than_the_positive_but_within_alpha(
    batch: Batch, alpha: float
) -> None:
    d, person = batch
    expected = [
        (a, p, semi_hard(d, a, p, negatives, alpha))
        for a, positives, negatives in anchors(person)
        for p in positives
    ]
    assert mined(batch, "semi-hard", alpha) == expected


def test_semi_hard_where_no_negative_is_between() -> None:
    """One anchor with its positive at 3, and negatives where they are said."""

    def negative(*at: float) -> float:
        d = np.full((2 + len(at), 2 + len(at)), 9, np.float32)
        d[0] = [0, 3, *at]
        person = np.array([0, 0, *range(1, len(at) + 1)])
        return float(d[0, mined((d, person), "semi-hard")[0][2]])

    assert negative(1, 4.5, 4, 6) == 4
    assert negative(1, 2.5, 6) == 2.5
    assert negative(8, 6, 7) == 6


@given(batches(), st.integers(0, 99))
def test_random_is_one_true_triplet_an_anchor_and_the_seeds_own(batch: Batch, seed: int) -> None:
    found = mined(batch, "random", seed=seed)
    assert [a for a, _, _ in found] == [a for a, _, _ in anchors(batch[1])]
    for (_, p, n), (_, positives, negatives) in zip(found, anchors(batch[1]), strict=True):
        assert p in positives
        assert n in negatives
    assert found == mined(batch, "random", seed=seed)


def test_random_draws_every_positive_and_negative_alike() -> None:
    person = np.array([0, 0, 0, 0, 1, 2, 2])
    drawn = [mined((np.zeros((7, 7), np.float32), person), "random", seed=s)[0] for s in range(600)]
    pairs, times = np.unique(np.array(drawn)[:, 1:], axis=0, return_counts=True)
    assert len(pairs) == 9
    assert times.min() > 600 / 9 * 0.6
    assert times.max() < 600 / 9 * 1.4


@pytest.mark.parametrize("how", ["random", "semi-hard", "hardest"])
@pytest.mark.parametrize("person", [[0, 0, 0], [0, 1, 2], [5]])
def test_a_batch_may_have_no_triplet(how: str, person: list[int]) -> None:
    n = len(person)
    assert mined((np.zeros((n, n), np.float32), np.array(person)), how) == []


def test_another_mining_is_refused_by_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'easy'.*random, semi-hard, hardest"):
        mined((np.zeros((2, 2), np.float32), np.array([0, 1])), "easy")
