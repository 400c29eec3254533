"""Learning: what a template may learn, and that nothing moves it beyond its bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.rules.learning import (
    HOUR_S,
    LEAST_COSINE,
    LEAST_SCORE,
    LearningRules,
    effective,
    is_due,
    is_sure,
    photos_of,
)
from ostiary.edge.core.types import Floats
from tests.support.fakes import unit

RULES = LearningRules(apart_h=20.0)


def near(own: Floats, score: float, drawn: np.random.Generator) -> Floats:
    """A unit vector of exactly this score to another, in a random direction."""
    aside = drawn.normal(size=len(own))
    aside -= (aside @ own) * own
    aside /= np.linalg.norm(aside)
    return np.asarray(score * own + math.sqrt(1 - score**2) * aside, np.float32)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(LEAST_SCORE, 1.0), min_size=1, max_size=20),
    st.integers(0, 255),
    st.sampled_from([2, 8, 128]),
)
def test_nothing_sure_moves_a_template_beyond_its_bound(
    seed: int, scores: list[float], photos: int, dim: int
) -> None:
    drawn = np.random.default_rng(seed)
    own = unit(drawn.normal(size=(1, dim)))[0]
    found = effective(own, [near(own, score, drawn) for score in scores], photos)
    assert found.dtype == np.float32
    assert abs(float(np.linalg.norm(found)) - 1) < 1e-5
    assert float(found @ own) >= LEAST_COSINE - 1e-5


def test_the_bound_is_met_by_the_worst_samples() -> None:
    # All samples alike, as far off as may be: 60 degrees, and the template moves by 30.
    own = np.array([1, 0], np.float32)
    far = near(own, LEAST_SCORE, np.random.default_rng(1))
    assert float(effective(own, [far] * 20, 1) @ own) == pytest.approx(LEAST_COSINE, abs=1e-6)
    assert pytest.approx(math.cos(math.radians(30))) == LEAST_COSINE


def test_the_enrolled_template_weighs_as_its_photos_and_never_less_than_half() -> None:
    own, other = np.eye(2, dtype=np.float32)
    for photos, samples, weight in ((0, 1, 0.5), (1, 1, 0.5), (1, 5, 0.5), (3, 1, 0.75)):
        found = effective(own, [other] * samples, photos)
        assert found[0] / found.sum() == pytest.approx(weight)
    assert (effective(own, [], 3) == own).all()


def test_many_small_steps_lead_no_farther_than_one() -> None:
    """An attacker who wants to creep shows, each day, the face half-way from the template that is
    searched to his own."""
    own, his = np.eye(8, dtype=np.float32)[:2]
    samples: list[Floats] = []
    searched = own
    for _ in range(1000):
        shown = unit((searched + his)[None])[0]
        if is_sure(float(own @ shown), 0.6):
            samples = [*samples, shown][-RULES.samples :]
        searched = effective(own, samples, 1)
    assert samples, "the first days are close enough"
    assert float(searched @ own) >= LEAST_COSINE
    assert float(searched @ his) <= 0.5


def test_a_grant_is_sure_only_well_above_tau() -> None:
    assert is_sure(0.7, 0.7)
    assert not is_sure(0.69, 0.7)
    # A tau below the least score does not lower the bound.
    assert not is_sure(0.49, 0.2)
    assert is_sure(0.5, 0.2)
    assert not is_sure(math.nan, 0.2)
    assert not is_sure(0.9, math.nan)


def test_a_subject_learns_at_most_once_in_the_time_apart() -> None:
    assert is_due(RULES, None, 0.0)
    assert not is_due(RULES, 1000.0, 1000.0 + 20 * HOUR_S - 1)
    assert is_due(RULES, 1000.0, 1000.0 + 20 * HOUR_S)
    # A sample from the future, after the clock was set back, and a time that is none.
    assert not is_due(RULES, 1e9, 1000.0)
    assert not is_due(RULES, 1000.0, math.nan)


def test_a_sample_counts_as_a_photo_unless_the_photos_are_unknown() -> None:
    assert [photos_of(photos, samples) for photos, samples in ((1, 0), (1, 2), (3, 5), (0, 5))] == [
        1,
        3,
        8,
        0,
    ]
