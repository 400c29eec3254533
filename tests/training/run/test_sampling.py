"""Batches of people: full, fair, the same again from (seed, epoch), and refused where useless."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.training.run.sampling import PeopleBatches


def owners(*counts: int) -> np.ndarray:
    """Whose image each row is, in a mixed order; people are numbered with gaps."""
    person = np.repeat(np.arange(len(counts)) * 7 + 3, counts)
    return np.random.default_rng(0).permutation(person)


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=12).filter(lambda counts: max(counts) > 1),
    st.integers(2, 6), st.integers(2, 5), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip
def test_every_batch_is_p_people_by_k_images_and_the_epoch_is_fair(
    counts: list[int], people: int, images: int, seed: int, epoch: int
) -> None:
    person = owners(*counts)
    sampler = PeopleBatches(person, people, images, seed)
    batches = sampler.epoch(epoch)
    held = min(people, len(counts))
    drawn: list[int] = []
    for batch in batches:
        assert batch.dtype == np.int64
        groups = batch.reshape(held, images)
        whose = person[groups]
        assert (whose == whose[:, :1]).all()
        assert len(set(whose[:, 0])) == held
        for row, who in zip(groups, whose[:, 0], strict=True):
            _, shown = np.unique(row, return_counts=True)
            assert len(shown) == min(images, (person == who).sum())
            assert shown.max() - shown.min() <= 1
        drawn.extend(whose[:, 0])
    times = [drawn.count(who) for who in np.unique(person)]
    assert max(times) - min(times) <= 1
    assert 0 <= len(batches) * held * images - len(person) < held * images
    assert len(sampler) == len(batches)


def test_an_epoch_is_a_function_of_seed_and_epoch_alone() -> None:
    person = owners(*[5] * 12)
    first = PeopleBatches(person, 4, 3, seed=1)
    later = [first.epoch(n) for n in range(4)][3]
    again = PeopleBatches(person, 4, 3, seed=1).epoch(3)
    assert all((a == b).all() for a, b in zip(later, again, strict=True))
    others = [PeopleBatches(person, 4, 3, seed=1).epoch(4), PeopleBatches(person, 4, 3, 2).epoch(3)]
    for other in others:
        assert any((a != b).any() for a, b in zip(later, other, strict=True))


def test_it_is_not_the_stream_that_a_step_draws_from() -> None:
    """numpy pads a seed with zeros: [seed, epoch] is [seed, epoch, 0], the first step's."""
    chosen = PeopleBatches(np.repeat(np.arange(50), 2), 50, 2, seed=1).epoch(2)[0][::2] // 2
    same = np.lexsort((np.random.default_rng([1, 2, 0]).random(50), np.zeros(50)))
    assert (chosen != same).any()


def test_with_enough_epochs_every_image_is_seen() -> None:
    sampler = PeopleBatches(owners(9, 2, 1), 2, 2, seed=0)
    assert set(np.concatenate([row for n in range(30) for row in sampler.epoch(n)])) == {*range(12)}


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        ([], "faces of 0 people: two are needed"),
        ([4, 4, 4], "faces of 1 people: two are needed"),
        ([1, 2, 3], "3 people with one image each: training needs two of a person"),
    ],
)
def test_people_who_cannot_be_learnt_from_are_refused_with_the_reason(
    person: list[int], reason: str
) -> None:
    with pytest.raises(PhotoError, match=reason) as refused:
        PeopleBatches(np.array(person, np.int64), 2, 2, seed=0)
    assert refused.value.hint


@pytest.mark.parametrize(("people", "images"), [(1, 4), (4, 1)])
def test_batches_without_a_triplet_are_refused(people: int, images: int) -> None:
    with pytest.raises(ConfigError, match=f"{people} people x {images} images"):
        PeopleBatches(owners(3, 3), people, images, seed=0)
