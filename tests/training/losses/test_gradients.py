"""The gradient of every loss: true, finite, the same bits again, and one that trains."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional

from ostiary.edge.errors import ConfigError
from ostiary.training.losses import distance
from ostiary.training.losses.by_name import LOSSES, make
from tests.support.training.loss_parts import DIM, OF_PEOPLE, OF_TRIPLETS, PERSON, made, taken, unit


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_difference_quotient(name: str) -> None:
    loss = made(name, scale=8.0) if name in OF_PEOPLE else made(name)
    given = unit().requires_grad_()
    assert torch.autograd.gradcheck(lambda e: taken(loss, functional.normalize(e)).value, given)


@pytest.mark.parametrize("person", [[0], [0, 0, 0], [0, 1, 2], [0, 0, 1]])
@pytest.mark.parametrize("name", LOSSES)
def test_it_is_finite_whatever_the_batch_holds(name: str, person: list[int]) -> None:
    """No genuine pair, no impostor pair, or neither; faces that are one point, or well apart."""
    whose = torch.tensor(person)
    apart = functional.one_hot(whose, DIM).double()
    for given in (unit(len(person)), unit(1).expand(len(person), DIM), apart):
        embeddings = given.clone().requires_grad_()
        found = taken(made(name), embeddings, whose)
        found.value.backward()  # type: ignore[no-untyped-call]
        assert found.value.isfinite()
        assert embeddings.grad is not None
        assert embeddings.grad.isfinite().all()
        if name in OF_TRIPLETS and len({*person}) in (1, len(person)):
            assert tuple(found) == (0, 0.0)


@pytest.mark.parametrize("name", OF_TRIPLETS)
def test_where_every_triplet_is_met_there_is_nothing_to_learn(name: str) -> None:
    apart = functional.one_hot(PERSON, DIM).double().requires_grad_()
    found = taken(made(name), apart)
    found.value.backward()  # type: ignore[no-untyped-call]
    assert tuple(found) == (0, 0.0)
    assert apart.grad is not None
    assert not apart.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_embedding_at_its_centre_has_a_gradient(dtype: torch.dtype) -> None:
    loss = make("arcface", DIM, 4).to(dtype)
    (weights,) = loss.parameters()
    weights.data = torch.eye(DIM, 4, dtype=dtype)
    embeddings = functional.one_hot(PERSON, DIM).to(dtype).requires_grad_()
    taken(loss, embeddings).value.backward()  # type: ignore[no-untyped-call]
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_on_several_threads_the_gradient_is_the_same_bit_for_bit(name: str) -> None:
    torch.set_num_threads(2)
    person = torch.from_numpy(np.random.default_rng(1).permutation(64) // 8)
    loss, found = make(name, 192, 8, mining="semi-hard"), set()
    for _ in range(4):
        embeddings = unit(64, 192).float().requires_grad_()
        taken(loss, embeddings, person).value.backward()  # type: ignore[no-untyped-call]
        assert embeddings.grad is not None
        found.add(embeddings.grad.numpy().tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("name", OF_PEOPLE)
def test_centres_come_from_the_seed_and_leave_torch_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (next(make(name, DIM, 4, seed=s).parameters()) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", OF_PEOPLE)
def test_a_person_without_a_centre_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"people 0 to 3 in a batch.*centres for 3"):
        taken(make(name, DIM, 3).double(), unit())


@pytest.mark.parametrize("dim", [16, 128, 192])
def test_the_logistic_starts_by_telling_equal_from_random(dim: int) -> None:
    loss = make("logistic", dim, 4)
    assert isinstance(loss, distance.LogisticLoss)
    given = unit(2, dim).float()
    logit = distance.pair_logit(given[:1], given, loss.weight, loss.bias)
    assert logit[0].item() == 2
    assert logit[1].item() == pytest.approx(-2.5, abs=0.8)


@pytest.mark.parametrize("name", LOSSES)
def test_a_few_steps_of_each_loss_bring_people_together(name: str) -> None:
    embeddings = unit().requires_grad_()
    loss = made(name)
    descent = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.1)

    def gap() -> float:
        """How much nearer the farthest genuine pair is than the nearest impostor pair."""
        d = distance.distances(functional.normalize(embeddings))
        same = PERSON[:, None] == PERSON[None, :]
        return float(d[~same].min() - d[same].max())

    before = gap()
    for _ in range(80):
        descent.zero_grad()
        taken(loss, functional.normalize(embeddings)).value.backward()  # type: ignore[no-untyped-call]
        descent.step()
    assert before < -1
    assert gap() > 0


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no loss 'softmax'.*triplet, contrastive"):
        made("softmax")
    with pytest.raises(ConfigError, match=r"logistic: alpha 0.2.*leave alpha out"):
        made("logistic", alpha=0.2)
    for name, alpha in (("triplet", -0.1), ("triplet", 4.0), ("angular", 90.0), ("arcface", 28.6)):
        with pytest.raises(ConfigError, match=f"{name}: alpha .*0 or more, below"):
            made(name, alpha=alpha)
    with pytest.raises(ConfigError, match="alpha nan"):
        made("triplet", alpha=math.nan)
