"""Who has a part in a logistic head, who is evidence for it, and how much one face may say."""

from __future__ import annotations

import dataclasses
from itertools import chain

import numpy as np
import pytest
import torch

from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.errors import PhotoError
from ostiary.training.tasks import verifier as training
from tests.support.training.crowd import HOW, crowd, parts_of, photos_of

torch.set_num_threads(1)


def test_the_three_parts_share_nobody() -> None:
    parts = parts_of(crowd(people=200, photos=3), seed=1)
    assert sorted(chain.from_iterable(parts)) == list(range(200))
    assert [len(part) for part in parts] == [100, 30, 70]


def test_who_has_one_photo_is_judged_as_an_impostor_and_is_no_evidence() -> None:
    given = photos_of([1, 4, 4] * 100)
    file = training.train(given, "a" * 64, "made up", settings=HOW)
    judged = training._parts(given, HOW, np.random.default_rng(0))[2]
    several = [one for one, photos in enumerate(np.bincount(judged.person)) if photos > 1]
    assert (file.people, file.images) == (len(several), 4 * len(several))
    assert len(several) < len(np.unique(judged.person)) == 105
    counts, photos = file.float_float.counts, len(judged.person)
    assert counts.genuines == 6 * len(several)
    assert counts.impostors == photos * (photos - 1) // 2 - counts.genuines, "with everybody"
    assert file.fitted_people + file.calibrated_people + file.people == 200


def test_of_all_impostor_pairs_as_many_are_judged_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "MOST_IMPOSTORS", 31_000)
    given = crowd()
    with_int8 = dataclasses.replace(given, probes=given.templates)
    file = training.train(with_int8, "a" * 64, "made up", "b" * 64, HOW)
    assert file.float_float.counts.impostors == 31_000
    assert file.float_float.counts.genuines == 15 * file.people, "all of them"
    assert file.float_int8 == file.float_float, "the same pairs for both"


def test_many_photos_of_a_few_are_no_evidence() -> None:
    """A person in fifty has forty: each part has several, and hundreds of pairs of them."""
    given = photos_of([40 if one % 50 == 0 else 1 for one in range(1000)])
    with pytest.raises(PhotoError, match=r"\d with several photos are left .* and \d to evaluate"):
        training.train(given, "a" * 64, "few", settings=HOW)


def test_of_one_face_no_more_than_a_hundred_pairs_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """People with the most photos are fitted on, and others calibrated on, by as many pairs."""
    seen, given = [], photos_of([20 if one % 5 == 0 else 4 for one in range(150)])
    taught, stretched = training.fit, training.calibrate

    def fit(apart: torch.Tensor, same: torch.Tensor, strength: float) -> Verifier:
        seen.append(int(same.sum()))
        return taught(apart, same, strength)

    def calibrate(head: Verifier, z: np.ndarray, same: np.ndarray, prior: float) -> Verifier:
        seen.append(int(same.sum()))
        return stretched(head, z, same, prior)

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "calibrate", calibrate)
    file = training.train(given, "a" * 64, "made up", settings=HOW)
    photos = [np.bincount(p.person) for p in training._parts(given, HOW, np.random.default_rng(0))]
    pairs = [count * (count - 1) // 2 for count in photos]
    few = [int(np.minimum(count, training.MOST_PAIRS).sum()) for count in pairs]
    assert few[0] < pairs[0].sum()
    assert seen == [few[0], few[0], few[1]]
    assert file.float_float.counts.genuines == pairs[2].sum(), "all are judged"
