"""Killed in the middle of an epoch and resumed, a run ends with the very bits it would have had."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ostiary.edge.errors import ConfigError, StoreError
from ostiary.training.run import checkpoint, log
from ostiary.training.run.log import Line, StepLine
from tests.support.places import ROOT
from tests.support.training import tiny_run
from tests.support.training.interruptions import nearly_full, stopped_at


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


def weights(folder: Path, name: str = "last.pt") -> dict[str, Tensor]:
    state = checkpoint.read(folder / "checkpoints" / name)
    found = {f"encoder.{k}": v for k, v in state.encoder.items()}
    found |= {f"head.{k}": v for k, v in state.head.items()}
    for number, moments in state.optimiser["state"].items():
        found |= {f"optimiser.{number}.{k}": v for k, v in moments.items()}
    return found


def same_bits(a: Path, b: Path) -> None:
    for name in ("last.pt", "best.pt"):
        one, other = weights(a, name), weights(b, name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def said(folder: Path) -> list[Line]:
    """The log but for how fast it went."""
    return [
        StepLine(line.epoch, line.step, line.loss, line.active, 0, line.rate)
        if isinstance(line, StepLine)
        else line
        for line in log.read(folder)
    ]


def killed_at(step: int, folder: Path, threads: int, loss: str) -> None:
    """A run in a process of its own, killed with SIGKILL once it has told of a step.

    It works on until it is hit, but not over the step after: it waits there for what never comes.
    """
    command = [sys.executable, str(Path(tiny_run.__file__)), str(folder), str(threads), loss]
    env = {**os.environ, "PYTHONPATH": str(ROOT), tiny_run.HELD_AT: str(step + 1)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= step:
                process.kill()
                break
    assert process.returncode == -9, "the run ended before it was killed"


@pytest.mark.parametrize(
    ("loss", "threads", "epochs"),
    [pytest.param("triplet", 2, (1, 2), marks=pytest.mark.long), ("arcface", 1, (2,))],
)
def test_kill_9_and_resume_is_the_uninterrupted_run_bit_for_bit(
    tmp_path: Path, loss: str, threads: int, epochs: tuple[int, ...]
) -> None:
    """With two threads the order of sums is torch's to choose, unless it is told."""
    whole, broken = tmp_path / "whole", tmp_path / "broken" / loss
    torch.set_num_threads(threads)
    outcome = tiny_run.run(whole, tiny_run.task(loss=loss))
    assert outcome.best_epoch > 0, "nothing was learned"
    rng = np.random.default_rng(5)
    for epoch in epochs:
        step = epoch * tiny_run.STEPS + int(rng.integers(1, 4))
        killed_at(step, broken.parent, threads, loss)
    place = checkpoint.read(broken / "checkpoints" / "last.pt").place
    assert place.steps < outcome.steps
    assert 0 < place.done < tiny_run.STEPS, "not in the middle of an epoch"
    resumed = tiny_run.run(broken, tiny_run.task(loss=loss), resume=True)
    assert resumed == outcome
    same_bits(whole, broken)
    assert said(broken) == said(whole)


def test_wherever_it_stops_it_goes_on_the_same(tmp_path: Path) -> None:
    """Before the first checkpoint of an epoch, right at one, after it, at an epoch's last step."""
    whole = tmp_path / "whole"
    tiny_run.run(whole, tiny_run.task())
    for step in (1, 8, 9, 15):
        broken = tmp_path / f"stopped-{step}"
        stopped_at(step, broken)
        tiny_run.run(broken, tiny_run.task(), resume=True)
        same_bits(whole, broken)
        assert said(broken) == said(whole)


def test_the_log_is_on_the_disk_before_each_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    tiny_run.run(tmp_path, tiny_run.task())
    files = [name for name in synced if name == log.LOG or ".pt." in name]
    assert len(files) > 2 * tiny_run.PLAN.optimiser.epochs
    assert set(files[::2]) == {log.LOG}
    assert log.LOG not in files[1::2]


def test_a_finished_run_resumed_is_finished(tmp_path: Path) -> None:
    outcome = tiny_run.run(tmp_path, tiny_run.task())
    before = said(tmp_path)
    task = tiny_run.task()
    assert tiny_run.run(tmp_path, task, resume=True) == outcome
    assert said(tmp_path) == before
    best = checkpoint.read(tmp_path / "checkpoints" / "best.pt").encoder
    assert all(torch.equal(best[key], held) for key, held in task.encoder.state_dict().items())


def test_other_photos_or_a_damaged_checkpoint_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run.run(tmp_path, tiny_run.task())
    path = tmp_path / "checkpoints" / "last.pt"
    before = path.read_bytes(), (tmp_path / log.LOG).read_bytes()
    with monkeypatch.context() as patch:
        patch.setitem(tiny_run.MADE_WITH, "photos", "others")
        with pytest.raises(ConfigError, match="made with other photos"):
            tiny_run.run(tmp_path, tiny_run.task(), resume=True)
    assert (path.read_bytes(), (tmp_path / log.LOG).read_bytes()) == before
    path.write_bytes(before[0][:-1])
    with pytest.raises(StoreError, match=r"last\.pt is damaged"):
        tiny_run.run(tmp_path, tiny_run.task(), resume=True)


def test_a_full_disk_at_a_checkpoint_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """It stops with the file's name, and goes on from the checkpoint before once there is room."""
    whole, full = tmp_path / "whole", tmp_path / "full"
    tiny_run.run(whole, tiny_run.task())

    def no_room(line: Line) -> None:
        if isinstance(line, StepLine) and line.step == 7:
            full_disk.__enter__()

    full_disk = nearly_full(20_000)
    try:
        with pytest.raises(StoreError, match=r"cannot write .*last\.pt.*free some space"):
            tiny_run.run(full, tiny_run.task(), watchers=[no_room])
    finally:
        full_disk.__exit__(None, None, None)
    assert checkpoint.read(full / "checkpoints" / "last.pt").place.steps == 6
    tiny_run.run(full, tiny_run.task(), resume=True)
    same_bits(whole, full)
