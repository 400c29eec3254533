"""Every loss against a loop that says its formula out loud, and the worked examples."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ostiary.training.losses import distance
from ostiary.training.losses.mining import choose
from tests.support.training.loss_parts import DIM, PERSON, made, taken, unit

MININGS = ("random", "semi-hard", "hardest")


def squared(a: Tensor, b: Tensor) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def chosen(embeddings: Tensor, how: str, alpha: float) -> list[tuple[Tensor, Tensor, Tensor]]:
    rng = np.random.default_rng(7)
    found = choose(distance.distances(embeddings), PERSON, how, alpha, rng)
    return [(embeddings[a], embeddings[p], embeddings[n]) for a, p, n in zip(*found, strict=True)]


def pairs(embeddings: Tensor) -> list[tuple[Tensor, Tensor, bool]]:
    rows = range(len(embeddings))
    return [
        (embeddings[i], embeddings[j], bool(PERSON[i] == PERSON[j]))
        for i in rows
        for j in rows
        if i < j
    ]


def balanced(of_pairs: list[tuple[float, bool]]) -> float:
    kinds = [[value for value, genuine in of_pairs if genuine is kind] for kind in (True, False)]
    return float(np.mean(kinds[0]) + np.mean(kinds[1])) / 2


# The worked examples.


def test_the_triplet_loss_of_the_worked_example() -> None:
    to_negative = torch.tensor([0.51, 0.9])
    found = distance.triplet(torch.tensor([0.5, 0.5]), to_negative, 0.2)
    assert found.tolist() == pytest.approx([0.19, 0])


@pytest.mark.parametrize("mining", MININGS)
def test_the_margin_is_what_prevents_the_collapse(mining: str) -> None:
    """An encoder that gives zero for every face: without alpha nothing is better or to be learnt;
    with it the loss is alpha, and there are encoders near it that are better."""
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(len(PERSON), 6)))
    encoder = nn.Linear(6, DIM).double()
    nn.init.zeros_(encoder.weight)
    nn.init.zeros_(encoder.bias)

    without = taken(made("triplet", alpha=0.0, mining=mining), encoder(images))
    without.value.backward()  # type: ignore[no-untyped-call]
    assert without.value.item() == 0
    assert without.active == 0
    assert encoder.weight.grad is not None
    assert encoder.bias.grad is not None
    assert not encoder.weight.grad.any()
    assert not encoder.bias.grad.any()

    kept = made("triplet", alpha=0.2, mining=mining)
    stuck = taken(kept, encoder(images))
    assert stuck.value.item() == pytest.approx(0.2)
    assert stuck.active == 1
    apart = functional.one_hot(PERSON, DIM).double()
    assert taken(kept, 0.1 * apart).value < stuck.value


# Against loops.


def test_squared_distances_are_those_of_the_loop_and_of_the_score() -> None:
    given = unit()
    expected = [[squared(a, b) for b in given] for a in given]
    assert torch.allclose(distance.distances(given), torch.tensor(expected).double(), atol=1e-12)
    rows = distance.squared_distance(given[:4], given[4:])
    assert rows.tolist() == pytest.approx([expected[i][i + 4] for i in range(4)])
    assert rows.tolist() == pytest.approx([2 - 2 * dot(given[i], given[i + 4]) for i in range(4)])


@pytest.mark.parametrize("mining", MININGS)
def test_triplet(mining: str) -> None:
    given = unit()
    expected = [
        max(squared(a, p) - squared(a, n) + 0.3, 0) for a, p, n in chosen(given, mining, 0.3)
    ]
    found = taken(made("triplet", alpha=0.3, mining=mining), given)
    assert found.value.item() == pytest.approx(np.mean(expected))
    assert found.active == np.mean([value > 0 for value in expected])
    assert found.active is not None
    assert 0 < found.active < 1 or mining == "hardest"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mining", MININGS)
def test_cosine_triplet_and_that_it_is_half_the_triplet_of_twice_alpha(
    mining: str, seed: int
) -> None:
    given = unit(seed=seed)
    expected = [max(dot(a, n) - dot(a, p) + 0.15, 0) for a, p, n in chosen(given, mining, 0.3)]
    found = taken(made("cosine-triplet", alpha=0.15, mining=mining), given)
    assert found.value.item() == pytest.approx(np.mean(expected))
    assert found.active == np.mean([value > 0 for value in expected])
    plain = taken(made("triplet", alpha=0.3, mining=mining), given)
    assert found.value.item() == pytest.approx(plain.value.item() / 2)
    assert found.active == plain.active


def test_contrastive() -> None:
    given = unit()
    expected = [
        (squared(a, b) / 2 if genuine else max(1.3 - math.sqrt(squared(a, b)), 0) ** 2 / 2, genuine)
        for a, b, genuine in pairs(given)
    ]
    assert {value > 0 for value, genuine in expected if not genuine} == {True, False}
    found = taken(made("contrastive", alpha=1.3), given)
    assert found.value.item() == pytest.approx(balanced(expected))
    assert found.active is None


def test_logistic() -> None:
    given, loss = unit(), made("logistic")
    assert isinstance(loss, distance.LogisticLoss)
    drawn = np.random.default_rng(3).normal(size=DIM)
    loss.weight.data, loss.bias.data = torch.from_numpy(drawn), torch.tensor(0.4).double()
    expected = []
    for a, b, genuine in pairs(given):
        z = 0.4 + sum(drawn[k] * abs(float(a[k]) - float(b[k])) for k in range(DIM))
        same = 1 / (1 + math.exp(-z))
        expected.append((-math.log(same if genuine else 1 - same), genuine))
    found = taken(loss, given)
    assert found.value.item() == pytest.approx(balanced(expected))
    assert found.active is None
    found.value.backward()  # type: ignore[no-untyped-call]
    assert loss.weight.grad is not None
    assert loss.bias.grad is not None


def test_angular() -> None:
    given, people = unit(), PERSON.tolist()
    tan2, expected = math.tan(math.radians(36)) ** 2, []
    for i, a in enumerate(given):
        for j, p in enumerate(given):
            if i != j and people[i] == people[j]:
                strangers = [n for n, who in zip(given, people, strict=True) if who != people[i]]
                powers = [4 * tan2 * dot(a + p, n) - 2 * (1 + tan2) * dot(a, p) for n in strangers]
                expected.append(math.log(1 + sum(math.exp(power) for power in powers)))
    found = taken(made("angular", alpha=36.0), given)
    assert found.value.item() == pytest.approx(np.mean(expected))
    assert found.active is None


def cosface(theta: float, alpha: float) -> float:
    return math.cos(theta) - alpha


def arcface(theta: float, alpha: float) -> float:
    if theta <= math.pi - alpha:
        return math.cos(theta + alpha)
    return math.cos(theta) - alpha * math.sin(alpha)


@pytest.mark.parametrize(("name", "own"), [("cosface", cosface), ("arcface", arcface)])
@pytest.mark.parametrize("alpha", [0.2, 1.4])
def test_losses_with_a_centre_a_person(
    name: str, own: Callable[[float, float], float], alpha: float
) -> None:
    given, loss = unit(), made(name, alpha=alpha, scale=8.0)
    (weights,) = loss.parameters()
    centres = functional.normalize(weights.T).detach()
    expected, thetas = [], []
    for a, who in zip(given, PERSON.tolist(), strict=True):
        angles = [math.acos(dot(a, centre)) for centre in centres]
        thetas.append(angles[who])
        logits = [
            8 * (own(theta, alpha) if k == who else math.cos(theta))
            for k, theta in enumerate(angles)
        ]
        expected.append(-math.log(math.exp(logits[who]) / sum(math.exp(z) for z in logits)))
    assert alpha < 1 or any(theta > math.pi - alpha for theta in thetas)
    found = taken(loss, given)
    assert found.value.item() == pytest.approx(np.mean(expected))
    assert found.active is None
