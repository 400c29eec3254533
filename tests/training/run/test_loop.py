"""The loop: it learns, keeps the best, ends early, and stops before it keeps what is not finite."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.distance import LossValue
from ostiary.training.run import checkpoint, log
from ostiary.training.run.log import EpochLine, StepLine
from ostiary.training.run.loop import EpochVerdict, Key, LearningTask, RunOutcome, fit
from ostiary.training.run.settings import Checkpoint, Optimiser, RunPlan, Stop
from tests.support.training import lesson

POINTS = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
WANTED = torch.tensor([[1.0], [3.0], [4.0], [7.0]])
ROWS = [np.array([0, 1]), np.array([2, 3]), np.array([1, 2])]
PLAN = RunPlan(optimiser=Optimiser(rate=0.3, epochs=15, warm_up=1, weight_decay=0))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


def line_fit(judge: Callable[[], EpochVerdict] | None = None) -> LearningTask:
    """Learning 3 x + y, judged by the error over all points."""
    encoder = nn.Linear(2, 1)
    with torch.no_grad():
        encoder.weight.fill_(0.1)
        encoder.bias.fill_(0.1)

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        chosen = torch.from_numpy(rows)
        return LossValue((encoder(POINTS[chosen]) - WANTED[chosen]).square().mean(), 0.5)

    def error() -> EpochVerdict:
        with torch.no_grad():
            found = float((encoder(POINTS) - WANTED).square().mean())
        return EpochVerdict(found, found, 0.25, 0.75)

    return LearningTask(encoder, lambda epoch: ROWS, objective, judge or error)


def weight_of(task: LearningTask) -> Tensor:
    assert isinstance(task.encoder.weight, Tensor)
    return task.encoder.weight


def scripted(figures: list[float]) -> Callable[[], EpochVerdict]:
    left = iter(figures)
    return lambda: EpochVerdict(next(left), 0.5)


def learn(task: LearningTask, folder: Path, plan: RunPlan = PLAN, **more: Any) -> RunOutcome:
    return fit(task, plan, folder, {"settings": "a"}, **more)


def test_it_learns_and_logs_each_step_and_epoch(tmp_path: Path) -> None:
    seen: list[object] = []
    task = line_fit()
    outcome = learn(task, tmp_path, watchers=[seen.append])
    lines = log.read(tmp_path)
    assert lines == seen
    steps = [line for line in lines if isinstance(line, StepLine)]
    epochs = [line for line in lines if isinstance(line, EpochLine)]
    assert [line.step for line in steps] == list(range(1, 46))
    assert [line.epoch for line in steps] == [1 + i // 3 for i in range(45)]
    assert [line.epoch for line in epochs] == list(range(16))
    assert epochs[-1].eer < 0.1 * epochs[0].eer
    assert (epochs[0].tar, epochs[0].guard, epochs[0].best) == (0.25, 0.75, True)
    assert steps[0].active == 0.5
    assert steps[0].images_s > 0
    assert (outcome.epochs, outcome.steps, outcome.ended) == (15, 45, "epochs")
    # The rate rises over the first epoch, then falls by half a cosine.
    rates = [line.rate for line in steps]
    assert rates[:3] == pytest.approx([0.05, 0.15, 0.25])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] < 1e-3 * 0.3


def test_the_encoder_ends_with_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    weights = []
    task = line_fit()
    figures = iter([3.0, 2.0, 1.0, 2.5, 2.5, 2.5])

    def judge() -> EpochVerdict:
        weights.append(weight_of(task).detach().clone())
        return EpochVerdict(next(figures), 0.5)

    task = replace(task, judge=judge)
    outcome = learn(task, tmp_path, plan_of(patience=3))
    assert (outcome.best_epoch, outcome.best, outcome.epochs) == (2, 1.0, 5)
    assert outcome.ended == "patience"
    assert torch.equal(weight_of(task), weights[2])
    assert not torch.equal(weight_of(task), weights[5])
    assert [x.best for x in log.read(tmp_path) if isinstance(x, EpochLine)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def plan_of(patience: int = 8, steps: int = 100, epochs: int = 40) -> RunPlan:
    return RunPlan(
        optimiser=Optimiser(rate=0.05, epochs=epochs),
        stop=Stop(patience=patience),
        checkpoint=Checkpoint(steps=steps),
    )


def test_patience_0_never_ends_early(tmp_path: Path) -> None:
    task = line_fit(scripted([1.0, *[2.0] * 12]))
    outcome = learn(task, tmp_path, plan_of(patience=0, epochs=12))
    assert (outcome.ended, outcome.epochs, outcome.best_epoch) == ("epochs", 12, 0)


def test_a_figure_that_is_never_finite_leaves_the_start(tmp_path: Path) -> None:
    """A guard that no epoch holds: the best is then what there was before."""
    task = line_fit(scripted([0.3, *[float("inf")] * 2]))
    start = weight_of(task).detach().clone()
    outcome = learn(task, tmp_path, plan_of(epochs=2))
    assert outcome.best_epoch == 0
    assert torch.equal(weight_of(task), start)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_says_what_to_do(tmp_path: Path, bad: float) -> None:
    task = line_fit()

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        step = task.objective(rows, key)
        return LossValue(step.value * bad, None) if key[1:] == (3, 1) else step

    with pytest.raises(ConfigError) as caught:
        learn(replace(task, objective=objective), tmp_path)
    assert f"the loss is {bad} in epoch 3, after step 7" in caught.value.message
    assert "lower optimiser.rate" in caught.value.hint
    assert "begin a run in another folder" in caught.value.hint, "--resume refuses other settings"
    kept = checkpoint.read(tmp_path / "checkpoints" / "last.pt")
    assert (kept.place.epoch, kept.place.steps) == (3, 6)
    assert all(held.isfinite().all() for held in kept.encoder.values())


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    """The loss is finite, its gradient is not: as of a root at zero."""
    task = line_fit()

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        root = (task.encoder(POINTS) * 0).sum().sqrt()
        return LossValue(root, None) if key[1:] == (2, 2) else task.objective(rows, key)

    with pytest.raises(ConfigError, match="a weight is not finite in epoch 2, after step 6"):
        learn(replace(task, objective=objective), tmp_path)
    for name in ("last.pt", "best.pt"):
        kept = checkpoint.read(tmp_path / "checkpoints" / name)
        assert kept.place.steps == 3
        assert all(held.isfinite().all() for held in kept.encoder.values())


def test_chance_is_of_the_step_alone_and_torchs_own_is_left(tmp_path: Path) -> None:
    """Dropout draws by (seed, epoch, step), whatever was drawn before."""
    drawn: dict[Key, torch.Tensor] = {}
    task = line_fit()

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        drawn[key] = torch.rand(3)
        return task.objective(rows, key)

    plan = plan_of(epochs=2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    (tmp_path / "a").mkdir()
    learn(replace(task, objective=objective), tmp_path / "a", plan)
    assert torch.equal(torch.get_rng_state(), before)
    first = dict(drawn)
    assert list(first) == [(0, epoch, index) for epoch in (1, 2) for index in range(3)]
    assert len({tuple(value.tolist()) for value in first.values()}) == 6
    torch.manual_seed(6)
    (tmp_path / "b").mkdir()
    learn(replace(task, objective=objective), tmp_path / "b", plan)
    assert all(torch.equal(first[key], drawn[key]) for key in first)


def test_the_encoder_trains_in_its_mode_and_is_judged_in_the_other(tmp_path: Path) -> None:
    task = line_fit()
    modes: list[tuple[str, bool]] = []

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        modes.append(("step", task.encoder.training))
        return task.objective(rows, key)

    def judge() -> EpochVerdict:
        modes.append(("judge", task.encoder.training))
        return EpochVerdict(1.0, 0.5)

    learn(replace(task, objective=objective, judge=judge), tmp_path, plan_of(epochs=2))
    assert set(modes) == {("step", True), ("judge", False)}


def test_only_matrices_decay(tmp_path: Path) -> None:
    """With no gradient at all, decay is what moves a weight. ONNX's slopes are (c, 1, 1)."""
    encoder = lesson.encoder()
    given = torch.ones(1, 3, lesson.SIDE_PX, lesson.SIDE_PX)
    before = {name: held.detach().clone() for name, held in encoder.named_parameters()}

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        return LossValue((encoder(given) * 0).sum(), None)

    plan = RunPlan(optimiser=Optimiser(rate=0.1, weight_decay=0.5, epochs=2))
    learn(LearningTask(encoder, lambda epoch: ROWS, objective, scripted([3, 2, 1])), tmp_path, plan)
    shorter = {
        tuple(held.shape) for name, held in encoder.named_parameters()
        if not torch.equal(held, before[name])
    }  # fmt: skip
    assert shorter == {(8, 3, 3, 3), (8 * 25, lesson.DIM)}
    assert (8, 1, 1) in {tuple(held.shape) for held in before.values()}


def test_the_losss_own_parameters_are_learned_and_kept(tmp_path: Path) -> None:
    head = nn.Linear(1, 1)
    task = line_fit()
    start = head.weight.detach().clone()

    def objective(rows: np.ndarray, key: Key) -> LossValue:
        chosen = torch.from_numpy(rows)
        made = head(task.encoder(POINTS[chosen]))
        return LossValue((made - WANTED[chosen]).square().mean(), None)

    learn(replace(task, objective=objective, head=head), tmp_path, plan_of(epochs=2))
    kept = checkpoint.read(tmp_path / "checkpoints" / "last.pt")
    assert not torch.equal(kept.head["weight"], start)


def test_two_threads_give_the_same_bits_each_time(tmp_path: Path) -> None:
    """A gradient that is gathered from many uses of a row is summed in one order."""
    torch.set_num_threads(2)
    rng = np.random.default_rng(1)
    given = torch.from_numpy(rng.normal(size=(120, 16)).astype(np.float32))
    uses = torch.from_numpy(rng.integers(0, 120, 20_000))
    weight = torch.from_numpy(rng.normal(size=(20_000, 64)).astype(np.float32))

    def weights(name: str) -> torch.Tensor:
        encoder = nn.Linear(16, 64, bias=False)
        with torch.no_grad():
            encoder.weight.fill_(0.01)

        def objective(rows: np.ndarray, key: Key) -> LossValue:
            return LossValue((encoder(given)[uses] * weight).mean(), None)

        (tmp_path / name).mkdir()
        judge = scripted([5, 4, 3, 2])
        task = LearningTask(encoder, lambda epoch: ROWS, objective, judge)
        learn(task, tmp_path / name, RunPlan(optimiser=Optimiser(epochs=3)))
        return encoder.weight

    first = weights("0")
    assert all(torch.equal(first, weights(name)) for name in "123")


def test_photos_that_make_no_batch_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make no batch"):
        learn(replace(line_fit(), batches=lambda epoch: []), tmp_path)
