"""The logistic head on the device: its formula against a loop and torch, and NaN weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from tests.support.fakes import unit

DIM = 192
RNG = np.random.default_rng(5)
HEAD = Verifier(RNG.normal(-4, 2, DIM), 35.0)
TEMPLATES, PROBE = unit(RNG.standard_normal((7, DIM))), unit(RNG.standard_normal(DIM))


def test_the_logit_is_the_formula_written_out() -> None:
    found = HEAD.logits(TEMPLATES, PROBE)
    for template, logit in zip(TEMPLATES, found, strict=True):
        total = HEAD.bias
        for k in range(DIM):
            total += HEAD.weights[k] * abs(float(template[k]) - float(PROBE[k]))
        assert logit == pytest.approx(total, abs=1e-12)
        assert probability(logit) == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-15)


def test_the_probability_equals_torchs_within_1e_6() -> None:
    for _ in range(50):
        a, b = unit(RNG.standard_normal((3, DIM))), unit(RNG.standard_normal(DIM))
        apart = (torch.from_numpy(a).double() - torch.from_numpy(b).double()).abs()
        wanted = apart @ torch.from_numpy(HEAD.weights) + HEAD.bias
        assert np.abs(HEAD.logits(a, b) - wanted.numpy()).max() < 1e-6
        at, said = HEAD.likeliest(a, b)
        assert at == int(wanted.argmax())
        assert said == pytest.approx(float(wanted.sigmoid().max()), abs=1e-6)


@pytest.mark.parametrize(("logit", "wanted"), [(0, 0.5), (1e4, 1.0), (-1e4, 0.0), (-40, 4.2e-18)])
def test_large_logits_do_not_overflow(logit: float, wanted: float) -> None:
    assert probability(logit) == pytest.approx(wanted, rel=0.02)


def test_equal_embeddings_are_likeliest_and_order_does_not_matter() -> None:
    head = Verifier(-np.abs(HEAD.weights), 35.0)
    assert float(head.logits(PROBE[None], PROBE)[0]) == 35.0
    assert head.logits(TEMPLATES, PROBE).max() < 35.0
    assert head.logits(TEMPLATES[:1], PROBE) == head.logits(PROBE[None], TEMPLATES[0])


def test_the_likeliest_template_of_the_claimed_subject_counts() -> None:
    near = unit(PROBE + 0.02 * TEMPLATES[3])
    gallery = Gallery(DIM)
    gallery.put_many([("alice", np.vstack([TEMPLATES[:2], near])), ("bob", TEMPLATES[4:])])
    alice, bob = (gallery.verify(PROBE, who, HEAD) for who in ("alice", "bob"))
    assert alice is not None
    assert bob is not None
    assert alice.probability == HEAD.likeliest(near[None], PROBE)[1]
    assert alice.score == pytest.approx(float(near @ PROBE), abs=1e-6), "the score stays a cosine"
    assert bob.probability == HEAD.likeliest(TEMPLATES[4:], PROBE)[1]
    plain = gallery.verify(PROBE, "alice")
    assert plain is not None
    assert plain.probability is None


def test_one_template_must_meet_both_thresholds() -> None:
    """The first template has the higher cosine; a head on the last value prefers the second."""
    probe = unit([1.0, 1.0, 0.0])
    near, liked = unit([1.0, 1.0, 0.2]), unit([1.0, 0.0, 0.0])
    gallery, head = Gallery(3), Verifier(np.array([0.0, 0.0, -20.0]), 1.0)
    for both in (np.vstack([near, liked]), np.vstack([liked, near])):
        gallery.put("alice", both)
        found, plain = gallery.verify(probe, "alice", head), gallery.verify(probe, "alice")
        assert found is not None
        assert plain is not None
        assert found.probability == probability(1.0)
        assert found.score == pytest.approx(float(liked @ probe), abs=1e-6)
        assert plain.score == pytest.approx(float(near @ probe), abs=1e-6)


def test_a_template_with_nan_gives_nan() -> None:
    broken = TEMPLATES.copy()
    broken[0, 0] = np.nan
    assert math.isnan(HEAD.likeliest(broken[:1], PROBE)[1])
    assert math.isnan(HEAD.likeliest(broken[::-1], PROBE)[1])
