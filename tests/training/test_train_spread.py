"""Two processes on one batch, by torchrun: the losses of one process, and one writer of files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from places import ROOT
from test_train_resume import stopped_at

from edge.errors import ConfigError
from training import checkpoint, log
from training.log import StepLine
from training.spread import ALONE, Team


def by_torchrun(size: int, folder: Path, *losses: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-W", "error::FutureWarning", "-m", "torch.distributed.run",
        "--standalone", "--nproc-per-node", str(size), tiny_run.__file__, str(folder), "1", *losses,
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    """Also where they go on with what one began, as the triplet run here.

    ArcFace's centres have their whole gradient in each process: that must not be summed.
    """
    torch.set_num_threads(1)
    stopped_at(7, tmp_path / "spread" / "triplet")
    done = by_torchrun(2, tmp_path / "spread", "triplet", "arcface")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    for loss in ("triplet", "arcface"):
        alone, spread = tmp_path / "alone" / loss, tmp_path / "spread" / loss
        tiny_run.run(alone, tiny_run.task(loss=loss))
        same_losses(alone, spread)


def same_losses(alone: Path, spread: Path) -> None:
    both = list(zip(log.read(alone), log.read(spread), strict=True))
    steps = [(a, b) for a, b in both if isinstance(a, StepLine)]
    assert len(steps) == tiny_run.PLAN.optimiser.epochs * tiny_run.STEPS
    for a, b in steps:
        assert b.loss == pytest.approx(a.loss, abs=1e-5)
        assert (b.epoch, b.step, b.rate) == (a.epoch, a.step, a.rate)
    first, second = (checkpoint.read(f / "checkpoints" / "last.pt") for f in (alone, spread))
    for key, held in first.encoder.items():
        assert torch.allclose(held, second.encoder[key], atol=1e-4)
    # AdamW would hide a gradient that is twice as long; its running mean does not.
    for key, moments in first.optimiser["state"].items():
        mean = moments["exp_avg"]
        assert torch.allclose(
            mean, second.optimiser["state"][key]["exp_avg"], atol=1e-3 * float(mean.abs().max())
        )


def test_the_shares_are_the_batch(tmp_path: Path) -> None:
    rows = np.arange(100, 111)
    shares = [Team(rank, 3).share(rows) for rank in range(3)]
    assert np.concatenate(shares).tolist() == rows.tolist()
    assert [len(share) for share in shares] == [4, 4, 3]
    assert ALONE.share(rows).tolist() == rows.tolist()
    with pytest.raises(ConfigError, match="12 processes, but a batch of 11 images"):
        Team(0, 12).share(rows)
