"""Compares losses: trains a new encoder with each, and evaluates it on people it never saw."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from ostiary.edge.errors import BackendError, ConfigError
from ostiary.export.faces.crops import Crops
from ostiary.training.data.photos import Faces
from ostiary.training.run import loop
from ostiary.training.run.distributed import ALONE
from ostiary.training.run.loop import EpochVerdict
from ostiary.training.run.settings import (
    Augment,
    Batches,
    Checkpoint,
    EncoderStart,
    FitSettings,
    LossChoice,
    Optimiser,
    Stop,
)
from ostiary.training.tasks import fit

UNTRAINED, RANDOM, HARDEST = "untrained", "triplet, random", "triplet, hardest"
LOSSES = {
    RANDOM: LossChoice(name="triplet", mining="random"),
    "triplet, semi-hard": LossChoice(name="triplet", mining="semi-hard"),
    HARDEST: LossChoice(name="triplet", mining="hardest"),
    "contrastive": LossChoice(name="contrastive"),
    "logistic": LossChoice(name="logistic"),
    # An alpha of 0.1 would only give half of the triplet loss above.
    "cosine triplet, hardest": LossChoice(name="cosine-triplet", mining="hardest", alpha=0.2),
    "angular": LossChoice(name="angular"),
    "large-margin cosine": LossChoice(name="cosface", scale=16.0),
    "ArcFace": LossChoice(name="arcface", scale=16.0),
}
"""Losses by row name. Scale 16, since the papers' 64 is for data sets of thousands of people."""
HALF = 0.5
FIRST_SEED = 100
"""The first seed. Lower ones, which set other people aside, served to choose batches, rate and
epochs."""


class LossRow(msgspec.Struct, frozen=True):
    """A loss's EERs on people it never saw, one per seed."""

    name: str
    eers: list[float]

    @property
    def mean(self) -> float:
        return float(np.mean(self.eers))

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds (n - 1); 0 for one seed."""
        return float(np.std(self.eers, ddof=1)) if len(self.eers) > 1 else 0.0


class Comparison(msgspec.Struct, frozen=True):
    """The table of EERs: what was compared, and one row per loss, the untrained encoder first."""

    architecture: str
    people: int
    unseen: int
    images: int
    epochs: int
    rows: list[LossRow]

    def findings(self) -> list[tuple[bool, str]]:
        """(true or false, figures) of two claims: the hardest triplets halve the untrained EER at
        least, and reach a lower EER than random triplets."""
        untrained, random, hardest = (
            np.array(next(row.eers for row in self.rows if row.name == name))
            for name in (UNTRAINED, RANDOM, HARDEST)
        )
        half, mean = HALF * float(untrained.mean()), float(hardest.mean())
        better = int((hardest < random).sum())
        return [
            (
                mean <= half,
                f"hardest triplets reach half the untrained EER or less: {mean:.4f},"
                f" half is {half:.4f}",
            ),
            (
                mean < float(random.mean()),
                f"hardest triplets reach a lower EER than random ones: {mean:.4f} and"
                f" {random.mean():.4f}, lower for {better} of {len(hardest)} seeds",
            ),
        ]


def settings_of(architecture: str, loss: LossChoice, seed: int, epochs: int) -> FitSettings:
    """The settings of one training; between trainings only the loss and the seed differ."""
    return FitSettings(
        encoder=EncoderStart(architecture=architecture),
        loss=loss,
        seed=seed,
        # Use few people per batch: among many, the hardest triplets are photos that barely show a
        # face.
        batches=Batches(people=8, images=2),
        optimiser=Optimiser(rate=1e-3, epochs=epochs, warm_up=1.0),
        augment=Augment(domain="door"),
        stop=Stop(patience=0),
        checkpoint=Checkpoint(steps=100_000),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What all trainings share: photos, architecture, number of people set aside, epochs.

    Names that share a photo may be one person: they are trained on and never set aside.
    """

    faces: Faces
    architecture: str
    unseen: int
    epochs: int

    def __post_init__(self) -> None:
        """Raises ConfigError if too few people can be set aside, or too few remain to train on."""
        if self.learned < 2 or self.faces.may_judge.sum() < self.unseen:
            raise ConfigError(
                f"{len(self.faces.names)} people, {self.unseen} of them set aside: fewer than two"
                " remain to train on, or too few people can be set aside"
                f" ({self.faces.may_judge.sum()})",
                "give photos of more people, or set fewer aside",
                option="unseen",
            )

    @property
    def learned(self) -> int:
        """The number of people in every training."""
        return len(self.faces.names) - self.unseen

    def eer(self, name: str, seed: int) -> float:
        """The EER on people never seen: of a loss's encoder after its last epoch, or of the
        untrained one.

        The best epoch is not used: on the people who choose it, its EER looks too good.
        """
        learned, judging = self.set_aside(seed)
        loss = LOSSES.get(name, LossChoice())
        settings = settings_of(self.architecture, loss, seed, self.epochs)
        encoder = fit.encoder_of(settings.encoder, seed)
        task = fit.task_of(settings, encoder, fit.Parts(learned, judging, judging), ALONE)
        if name != UNTRAINED:
            # Make each epoch count as better than the one before, so that the last one is kept.
            epoch = iter(range(0, -self.epochs - 1, -1))
            last = replace(task, judge=lambda: EpochVerdict(float(next(epoch)), 0.0))
            with tempfile.TemporaryDirectory() as folder:
                loop.fit(last, settings, Path(folder), {})
        return fit.verdict(encoder, judging).eer

    def set_aside(self, seed: int) -> tuple[Crops, Crops]:
        """(photos of the people to train on, photos of `unseen` others that the seed chooses)."""
        crops, eligible = self.faces.crops, np.flatnonzero(self.faces.may_judge)
        chosen = np.random.default_rng(seed).choice(eligible, self.unseen, replace=False)
        apart = np.isin(crops.person, chosen)
        return crops.only(~apart), crops.only(apart)


def compare(
    contest: Contest,
    seeds: Sequence[int],
    processes: int,
    done: Callable[[int, int], None],
    names: Sequence[str] = (UNTRAINED, *LOSSES),
) -> Comparison:
    """Train each loss with each seed, which sets other people aside and begins with other weights.

    `done(n, total)` is called after each training. Raises BackendError if a training is killed.
    """
    wanted = [(name, seed) for seed in seeds for name in names]
    found: dict[str, list[float]] = {name: [] for name in names}
    trained = zip(wanted, _trained(contest, wanted, processes), strict=True)
    for at, ((name, _), eer) in enumerate(trained, 1):
        found[name].append(eer)
        done(at, len(wanted))
    return Comparison(
        contest.architecture,
        contest.learned,
        contest.unseen,
        len(contest.faces),
        contest.epochs,
        [LossRow(name, eers) for name, eers in found.items()],
    )


def _trained(
    contest: Contest, wanted: Sequence[tuple[str, int]], processes: int
) -> Iterator[float]:
    """Yield the EER of each (loss, seed), in their order."""
    # Spawn, since torch's threads do not survive a fork.
    spawned = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, spawned, _begin, (contest,)) as pool:
            yield from pool.map(_one, wanted)
    except BrokenProcessPool as error:
        raise BackendError(
            "a training was killed, probably because memory ran out",
            "use a smaller architecture or fewer photos, or run fewer trainings at once",
            option="processes",
        ) from error


_HELD: list[Contest] = []
"""A worker process's contest, kept here so that its photos are sent once, not for each training."""


def _begin(contest: Contest) -> None:
    torch.set_num_threads(1)
    _HELD.append(contest)


def _one(wanted: tuple[str, int]) -> float:
    return _HELD[-1].eer(*wanted)
