"""Error rates against naive counting."""

import dataclasses

import numpy as np
import pytest

from ostiary.edge.core.scores.metrics import (
    Pairs,
    proportion,
    tar_at_fmr,
    tar_interval,
    tar_loss,
    tau_at_fmr,
)


def made(people: int = 40, images: int = 4, seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    genuine = rng.normal(0.6, 0.15, people * 6).astype(np.float32)
    impostors = people * (people - 1) // 2 * images * images
    impostor = rng.normal(0.1, 0.12, impostors).astype(np.float32)
    owners = np.repeat(np.arange(people), 6)
    order = np.argsort(-impostor)
    pairs = np.array([(i, j) for i in range(people) for j in range(i)]).repeat(images**2, axis=0)
    return Pairs(genuine, owners, impostor[order], pairs[order], impostors, np.full(people, images))


@pytest.mark.parametrize("fmr", [0.1, 0.01, 0.001])
def test_tau_lets_no_more_than_the_rate_in(fmr: float) -> None:
    pairs = made()
    tau = tau_at_fmr(pairs, fmr)
    let_in = sum(score >= tau for score in pairs.tail)
    assert let_in <= fmr * pairs.impostors < let_in + 1
    assert tar_at_fmr(pairs, fmr) == pytest.approx(np.mean([g >= tau for g in pairs.genuine]))


def test_a_tail_that_is_too_short_is_an_error() -> None:
    whole = made()
    short = Pairs(
        whole.genuine,
        whole.genuine_person,
        whole.tail[:10],
        whole.tail_people[:10],
        whole.impostors,
        whole.images,
    )
    with pytest.raises(ValueError, match="cannot show"):
        tau_at_fmr(short, 0.1)


def test_the_interval_holds_the_value_and_narrows_with_people() -> None:
    few, many = made(people=20), made(people=120)
    a, b = tar_interval(few, 0.01), tar_interval(many, 0.01)
    for rate in (a, b):
        assert rate.low <= rate.value <= rate.high
    assert b.high - b.low < a.high - a.low
    assert tar_interval(few, 0.01) == a


def test_the_interval_knows_that_people_differ() -> None:
    """Half of the people always match, half never: another draw of people is another rate."""
    whole = made(people=40)
    genuine = np.where(whole.genuine_person % 2 == 0, 0.99, -0.9).astype(np.float32)
    split = dataclasses.replace(whole, genuine=genuine)
    rate = tar_interval(split, 0.01)
    assert rate.value == pytest.approx(0.5)
    assert rate.high - rate.low > 0.2


def test_a_loss_is_the_difference_and_its_interval_knows_that_the_people_are_the_same() -> None:
    """Half of the people always match, half never; then one of those that did no longer does."""
    whole = made(people=40)
    genuine = np.where(whole.genuine_person % 2 == 0, 0.99, -0.9).astype(np.float32)
    before = dataclasses.replace(whole, genuine=genuine)
    without = np.where(whole.genuine_person == 0, np.float32(-0.9), genuine)
    after = dataclasses.replace(whole, genuine=without)
    loss = tar_loss(before, after, 0.01)
    assert loss.value == pytest.approx(1 / 40)
    assert loss.low <= loss.value <= loss.high
    alone = tar_interval(before, 0.01)
    assert loss.high - loss.low < 0.1 < 0.2 < alone.high - alone.low
    nothing = tar_loss(before, before, 0.01)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_wilson_interval_of_a_known_case() -> None:
    rate = proportion(0, 100)
    assert rate.value == 0.0
    assert rate.high == pytest.approx(0.0370, abs=1e-4)
    with pytest.raises(ValueError, match="at least one trial"):
        proportion(0, 0)


def test_the_bootstrap_is_that_of_a_naive_loop() -> None:
    """Every pair counted as often as both its people were drawn, in plain loops."""
    pairs, fmr, draws = made(people=8, images=3), 0.05, 40
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(draws):
        drawn = rng.integers(0, 8, 8).tolist()
        times = [drawn.count(person) for person in range(8)]
        total = sum(9 * times[a] * times[b] for a in range(8) for b in range(a))
        let_in, tau = 0, None
        for score, (a, b) in zip(pairs.tail, pairs.tail_people, strict=True):
            let_in += times[a] * times[b]
            if let_in > fmr * total:
                tau = score
                break
        weights = [times[person] for person in pairs.genuine_person]
        passed = sum(
            w for w, g in zip(weights, pairs.genuine, strict=True) if tau is None or g > tau
        )
        rates.append(passed / max(sum(weights), 1))
    low, high = np.quantile(rates, [0.025, 0.975])
    found = tar_interval(pairs, fmr, draws=draws, seed=0)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
