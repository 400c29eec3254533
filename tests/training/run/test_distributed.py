"""Two processes on one batch, by torchrun: the losses of one process, and one writer of files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ostiary.edge.errors import ConfigError
from ostiary.training.run import checkpoint, log
from ostiary.training.run.distributed import ALONE, Team
from ostiary.training.run.log import StepLine
from tests.support.places import ROOT
from tests.support.training import tiny_run
from tests.support.training.interruptions import stopped_at


def torchrun(*program: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-W", "error::FutureWarning", "-m", "torch.distributed.run",
        "--standalone", "--nproc-per-node", "2", *program,
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    """Also where they go on with what one began, as the triplet run here.

    ArcFace's centres have their whole gradient in each process: that must not be summed.
    """
    torch.set_num_threads(1)
    stopped_at(7, tmp_path / "spread" / "triplet")
    done = torchrun(tiny_run.__file__, str(tmp_path / "spread"), "1", "triplet", "arcface")
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
        assert isinstance(b, StepLine)
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
    # Batch norm has no variance of one image.
    assert len(Team(4, 5).share(rows)) == 2
    with pytest.raises(ConfigError, match="6 processes, but a batch of 11 images: each needs two"):
        Team(0, 6).share(rows)
    assert len(ALONE.share(rows[:1])) == 1


@pytest.mark.parametrize(("architecture", "says"), [("small-28", "already"), ("nope", "'nope'")])
def test_a_refusal_is_one_line_of_the_first_process(
    tmp_path: Path, architecture: str, says: str
) -> None:
    """What the first process alone refuses, and what each does."""
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[encoder]\narchitecture = "{architecture}"\n')
    command = ["--faces", "nowhere", "--bundle", "nowhere", "--out", str(tmp_path)]
    (tmp_path / "log.jsonl").touch()
    done = torchrun("-m", "ostiary.training", "fit", str(settings), *command)
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert says in line
    assert "training/cli/fit.py" not in done.stderr, "a traceback of ours"
