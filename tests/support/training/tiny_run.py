"""A run of seconds on made-up faces: the real loop, loss, mining, sampling and small encoder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ostiary.training.data.augment import DOMAINS
from ostiary.training.encoders import architectures
from ostiary.training.judge.embed import eer, embed
from ostiary.training.losses import by_name
from ostiary.training.run.batches import Photos, Supervised
from ostiary.training.run.distributed import ALONE, Team, joined
from ostiary.training.run.log import Line, StepLine
from ostiary.training.run.loop import EpochVerdict, LearningTask, RunOutcome, Watcher, fit
from ostiary.training.run.sampling import PeopleBatches
from ostiary.training.run.settings import Checkpoint, Optimiser, RunPlan

PEOPLE, EACH, SIDE_PX = 6, 5, 40
MADE_WITH = {"settings": "a", "photos": "b"}
STEPS = 5
"""Steps in an epoch."""
HELD_AT = "TINY_RUN_HELD_AT"
"""Environment variable: the step at which a run waits for a byte on standard input."""
PLAN = RunPlan(
    seed=3, optimiser=Optimiser(rate=3e-3, epochs=4, warm_up=0.5), checkpoint=Checkpoint(steps=2)
)
PERSON = np.repeat(np.arange(PEOPLE), EACH)


def made_up_faces() -> np.ndarray:
    """Images (n, h, w, 3) uint8: one smooth pattern a person, moved and noisy each time."""
    rng = np.random.default_rng(7)
    grid = np.linspace(0, 1, SIDE_PX)
    waves = rng.uniform(2, 9, (PEOPLE, 2))
    images = []
    for person in PERSON:
        y, x = np.meshgrid(grid + rng.normal(0, 0.1), grid, indexing="ij")
        light = 128 + 90 * np.sin(waves[person, 0] * y) * np.cos(waves[person, 1] * x)
        noise = rng.normal(0, 60, (SIDE_PX, SIDE_PX, 3))
        images.append(np.clip(light[..., None] + noise, 0, 255).astype(np.uint8))
    return np.stack(images)


def task(team: Team = ALONE, loss: str = "triplet") -> LearningTask:
    """Learning to tell the made-up people apart, evaluated on the people trained on."""
    encoder = architectures.build("small-28", 1)
    # Random mining, so that a difference in rounding cannot choose other triplets.
    made = by_name.make(loss, encoder.dim, PEOPLE, mining="random")
    images = made_up_faces()
    photos = Photos(images, encoder.spec, DOMAINS["door"])
    score_of = np.triu_indices(len(PERSON), 1)
    same = (PERSON[:, None] == PERSON)[score_of]

    def judge() -> EpochVerdict:
        rows = embed(encoder, images)
        scores = (rows @ rows.T)[score_of]
        found = eer(scores[same], scores[~same])
        return EpochVerdict(found, found)

    batches = PeopleBatches(PERSON, 3, 2, PLAN.seed)
    objective = Supervised(encoder, made, photos, PERSON, team)
    return LearningTask(encoder, batches.epoch, objective, judge, made)


def run(
    folder: Path,
    doing: LearningTask,
    plan: RunPlan = PLAN,
    resume: bool = False,
    watchers: Sequence[Watcher] = (),
    team: Team = ALONE,
) -> RunOutcome:
    folder.mkdir(parents=True, exist_ok=True)
    return fit(doing, plan, folder, MADE_WITH, resume, watchers, team)


def tell(line: Line) -> None:
    """Print each step on standard output, for the test that kills this process."""
    if isinstance(line, StepLine):
        os.write(1, b"%d\n" % line.step)
        if os.environ.get(HELD_AT) == str(line.step):
            os.read(0, 1)


def main() -> None:
    """`tiny_run.py FOLDER THREADS LOSS...`: begin or resume a run of each loss in FOLDER/LOSS."""
    folder, threads, *names = sys.argv[1:]
    torch.set_num_threads(int(threads))
    with joined() as team:
        for loss in names:
            run(Path(folder) / loss, task(team, loss), resume=True, watchers=[tell], team=team)


if __name__ == "__main__":
    main()
