"""The training loop: seeded steps, checkpoints to resume from exactly, an evaluation per epoch.

The loop runs a `LearningTask`, such as training, fine-tuning or distillation. Only the weights and
the optimiser's state pass from step to step; batches, augmentation and mining are functions of
(seed, epoch, step). So a checkpoint holds all that a resumed run needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.distance import LossValue
from ostiary.training.run import checkpoint, log
from ostiary.training.run.checkpoint import BEST, FOLDER, LAST, RunProgress, RunState, Tensors
from ostiary.training.run.distributed import ALONE, Team
from ostiary.training.run.log import EpochLine, Line, StepLine
from ostiary.training.run.sampling import Rows
from ostiary.training.run.settings import RunPlan

Key = tuple[int, int, int]
"""(seed, epoch, step of the epoch): the seed of everything random in a step."""
Objective = Callable[[Rows, Key], LossValue]
"""The loss of a batch, given its rows and the step's key."""
Watcher = Callable[[Line], None]


class EpochVerdict(NamedTuple):
    """The evaluation after an epoch: the epoch with the lowest `figure` is the best.

    The other fields are for the log: see `ostiary.training.run.log.EpochLine`.
    """

    figure: float
    eer: float
    tar: float | None = None
    guard: float | None = None


@dataclass(frozen=True, slots=True)
class LearningTask:
    """The task of a run.

    `batches(epoch)` gives the rows of an epoch's batches, `objective` is the loss to lower, and
    `judge` evaluates the encoder after each epoch. `head` holds the loss's own parameters, such as
    ArcFace's centres; every process computes their whole gradient (see `run.distributed`).
    """

    encoder: nn.Module
    batches: Callable[[int], Sequence[Rows]]
    objective: Objective
    judge: Callable[[], EpochVerdict]
    head: nn.Module = field(default_factory=nn.Module)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: after its last epoch, or after `patience` epochs without a better one."""

    epochs: int
    steps: int
    best: float
    best_epoch: int
    ended: Literal["epochs", "patience"]


def fit(
    task: LearningTask,
    plan: RunPlan,
    folder: Path,
    made_with: dict[str, str],
    resume: bool = False,
    watchers: Sequence[Watcher] = (),
    team: Team = ALONE,
) -> RunOutcome:
    """Learn a task in a run's folder; the encoder then holds the weights of the best epoch.

    `made_with` are digests, by name, of what must be the same when a run is resumed. With `resume`
    but no checkpoint yet, the run starts from the beginning. Raises ConfigError for a loss or
    weights that are not finite and for a checkpoint of another run, StoreError for a checkpoint
    that cannot be written or is damaged.
    """
    run = _Run(task, plan, folder, made_with, watchers, team)
    with _deterministic():
        run.begin(resume)
        while not run.over:
            run.epoch()
    task.encoder.load_state_dict(team.told(lambda: run.saved(BEST)).encoder)
    return run.outcome


class _Run:
    """A learning task in progress."""

    def __init__(
        self,
        task: LearningTask,
        plan: RunPlan,
        folder: Path,
        made_with: dict[str, str],
        watchers: Sequence[Watcher],
        team: Team,
    ) -> None:
        self._task, self._plan, self._team = task, plan, team
        self._folder, self._made_with, self._watchers = folder, made_with, watchers
        self._optimiser = _optimiser(task, plan)
        self._place = RunProgress()

    @property
    def over(self) -> bool:
        return self._place.epoch > self._plan.optimiser.epochs or self._stale

    @property
    def _stale(self) -> bool:
        return 0 < self._plan.stop.patience <= self._place.stale

    @property
    def outcome(self) -> RunOutcome:
        place = self._place
        ended: Literal["epochs", "patience"] = "patience" if self._stale else "epochs"
        return RunOutcome(place.epoch - 1, place.steps, place.best, place.best_epoch, ended)

    def begin(self, resume: bool) -> None:
        """Restore the last checkpoint, or evaluate the encoder before training (epoch 0)."""
        firsts = self._team.told(lambda: self._made_with)
        self._team.together(lambda: checkpoint.check("the first process", firsts, self._made_with))
        state = self._team.told(lambda: self._found() if resume else None)
        if state is not None:
            self._restore(state)
            return
        # The run was killed before its first checkpoint: drop its log's lines.
        self._cut_log()
        encoder, head = self._team.told(self._weights)
        self._load(encoder, head)
        self._judge(0)

    def _found(self) -> RunState | None:
        """The run's last state; None without a checkpoint. Raises ConfigError if it is of another
        run."""
        if not checkpoint.begun(self._folder):
            return None
        state = self.saved(LAST)
        checkpoint.check(str(self._path(LAST)), state.made_with, self._made_with)
        return state

    def _restore(self, state: RunState) -> None:
        self._load(state.encoder, state.head)
        self._optimiser.load_state_dict(state.optimiser)
        self._place = state.place
        self._cut_log()

    def _cut_log(self) -> None:
        self._team.told(lambda: log.cut(self._folder, self._place.epoch, self._place.steps))

    def epoch(self) -> None:
        """Train the remaining steps of the current epoch, then evaluate."""
        number = self._place.epoch
        batches = self._task.batches(number)
        if not batches:
            raise ConfigError("the photos make no batch", "use fewer people or images per batch")
        self._task.encoder.train()
        for index in range(self._place.done, len(batches)):
            line = self._step(batches[index], index, len(batches))
            self._place = replace(self._place, done=index + 1, steps=line.step)
            self._tell(line)
            if line.step % self._plan.checkpoint.steps == 0 and index + 1 < len(batches):
                self._save(LAST)
        self._judge(number)

    def _step(self, rows: Rows, index: int, count: int) -> StepLine:
        epoch, began = self._place.epoch, time.perf_counter()
        key = (self._plan.seed, epoch, index)
        rate = self._plan.optimiser.at(epoch - 1 + (index + 0.5) / count)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with _torch_seeded(key):
            made = self._task.objective(rows, key)
        loss = float(made.value.detach())
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self._optimiser.zero_grad()
        made.value.backward()  # type: ignore[no-untyped-call]
        self._team.add(self._task.encoder.parameters())
        self._optimiser.step()
        images_s = len(rows) / (time.perf_counter() - began)
        return StepLine(epoch, self._place.steps + 1, loss, made.active, images_s, rate)

    def _judge(self, epoch: int) -> None:
        """Evaluate the encoder after an epoch, and save it if it is the best so far."""
        self._check_weights()
        self._task.encoder.eval()
        # Evaluate in one process only: batch norm may make the encoders of the processes differ a
        # little.
        verdict = self._team.told(self._task.judge)
        place = replace(self._place, epoch=epoch + 1, done=0, stale=self._place.stale + 1)
        better = epoch == 0 or verdict.figure < place.best
        if better:
            place = replace(place, best=verdict.figure, best_epoch=epoch, stale=0)
        self._place = place
        if better:
            self._save(BEST)
        self._tell(EpochLine(epoch, verdict.eer, verdict.tar, better, verdict.guard))
        self._save(LAST)

    def _tell(self, line: Line) -> None:
        self._team.told(lambda: log.append(self._folder, line))
        if self._team.first:
            for watcher in self._watchers:
                watcher(line)

    def _save(self, name: str) -> None:
        self._check_weights()
        self._team.told(lambda: self._write(name))

    def _write(self, name: str) -> None:
        encoder, head = self._weights()
        optimiser = self._optimiser.state_dict()
        # After a power cut, the log must hold every line from before the checkpoint.
        log.sync(self._folder)
        state = RunState(self._made_with, self._place, encoder, head, optimiser)
        checkpoint.write(self._path(name), state)

    def _weights(self) -> tuple[Tensors, Tensors]:
        return self._task.encoder.state_dict(), self._task.head.state_dict()

    def _load(self, encoder: Tensors, head: Tensors) -> None:
        self._task.encoder.load_state_dict(encoder)
        self._task.head.load_state_dict(head)

    def _check_weights(self) -> None:
        """Raise ConfigError if a weight is not finite: a run cannot continue from it."""
        for held in (value for weights in self._weights() for value in weights.values()):
            if held.is_floating_point() and not held.isfinite().all():
                raise self._diverged("a weight is not finite")

    def _diverged(self, problem: str) -> ConfigError:
        return ConfigError(
            f"{problem} in epoch {self._place.epoch}, after step {self._place.steps}: stopped",
            f"lower optimiser.rate, raise optimiser.warm_up, or mend the photos, and begin a run"
            f" in another folder, since this run cannot continue with other settings;"
            f" {self._path(LAST)} is from before the failure",
        )

    def _path(self, name: str) -> Path:
        return self._folder / FOLDER / name

    def saved(self, name: str) -> RunState:
        return checkpoint.read(self._path(name))


def _optimiser(task: LearningTask, plan: RunPlan) -> torch.optim.Optimizer:
    learned = [p for m in (task.encoder, task.head) for p in m.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in learned if _is_matrix(p)],
            "weight_decay": plan.optimiser.weight_decay,
        },
        {"params": [p for p in learned if not _is_matrix(p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.optimiser.rate)


def _is_matrix(weights: Tensor) -> bool:
    """True for matrices and kernels, false for biases and slopes, which in ONNX are (c, 1, 1)."""
    return sum(size > 1 for size in weights.shape) > 1


@contextmanager
def _deterministic() -> Iterator[None]:
    """Make torch sum in a fixed order, which it does not always do by default."""
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=was)


@contextmanager
def _torch_seeded(key: Key) -> Iterator[None]:
    """Seed torch's own generator, which dropout uses, from a step's key; restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        yield
