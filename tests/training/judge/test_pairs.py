"""Which photos are held against each other: all there are, or the few that are drawn."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ostiary.edge.errors import PhotoError
from ostiary.training.judge.pairs import PairRows, pairs_of

MIXED = np.array([0, 1, 1, 2, 1, 0, 3, 3, 2, 3, 4, 1])


def listed(pairs: PairRows) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Genuine and impostor pairs."""
    both = [*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    return both[: pairs.genuines], both[pairs.genuines :]


def every(person: np.ndarray, same: bool) -> list[tuple[int, int]]:
    n = len(person)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    return [(i, j) for i, j in pairs if (person[i] == person[j]) == same]


@pytest.mark.parametrize("person", [MIXED, np.sort(MIXED), np.array([5, 5, 9])])
def test_all_pairs_are_there_in_the_order_of_the_photos(person: np.ndarray) -> None:
    assert listed(pairs_of(person)) == (every(person, True), every(person, False))
    assert pairs_of(person).same.sum() == len(every(person, True))


def test_impostors_are_drawn_from_all_of_them() -> None:
    """As a draw from their written list would, so that a seed goes on meaning what it did."""
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    genuine, impostor = listed(pairs_of(MIXED, rng, impostors=9))
    assert genuine == every(MIXED, True)
    written = again.choice(np.array(every(MIXED, False)), 9, replace=False)
    assert impostor == [*map(tuple, written.tolist())]
    assert rng.random() == again.random()


def test_nothing_is_drawn_where_nothing_is_over_its_bound() -> None:
    rng = np.random.default_rng(3)
    most = len(every(MIXED, False))
    found = pairs_of(MIXED, rng, genuines=6, impostors=most)
    assert listed(found) == listed(pairs_of(MIXED))
    assert rng.random() == np.random.default_rng(3).random()


def test_no_face_has_more_genuine_pairs_than_are_allowed() -> None:
    person = np.concatenate([np.zeros(30, int), MIXED + 1])
    drawn = [pairs_of(person, np.random.default_rng(seed), genuines=5) for seed in (0, 0, 1)]
    first, again, other = (listed(pairs)[0] for pairs in drawn)
    assert first == again != other
    for found in (first, other):
        assert set(found) < set(every(person, True))
        assert found == sorted(set(found)), "none is there twice"
        counted = np.bincount(person[[i for i, _ in found]], minlength=6)
        wanted = np.bincount(person[[i for i, _ in every(person, True)]], minlength=6)
        assert counted.tolist() == np.minimum(wanted, 5).tolist()
    assert listed(drawn[0])[1] == every(person, False)


@pytest.mark.parametrize("impostors", [5000, 1_000_000])
def test_memory_is_of_the_pairs_that_are_asked_for(impostors: int) -> None:
    """Of 8000 photos there are 32 million, which take half a gigabyte."""
    person = np.repeat(np.arange(80), 100)
    tracemalloc.start()
    pairs = pairs_of(person, np.random.default_rng(0), genuines=100, impostors=impostors)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairs.genuines == 8000
    drawn = set(zip(pairs.first[8000:], pairs.second[8000:], strict=True))
    assert 0.98 * impostors < len(drawn) == len(pairs.first) - 8000 <= impostors
    assert (person[pairs.first] == person[pairs.second]).tolist() == pairs.same.tolist()
    assert most < 30e6 + 60 * impostors


@pytest.mark.parametrize("person", [[0, 0, 0], [0, 1, 2], [0], []])
def test_without_pairs_of_a_kind_nothing_can_be_learned(person: list[int]) -> None:
    with pytest.raises(PhotoError, match="no pair of the same person, or of two"):
        pairs_of(np.array(person, int))
