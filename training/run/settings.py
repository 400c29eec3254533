"""A run's settings: one TOML file becomes one frozen FitSettings; unknown keys are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from ostiary.edge.errors import ConfigError
from ostiary.training.losses.mining import Mining

Count = Annotated[int, Meta(ge=1, le=100_000)]
Share = Annotated[float, Meta(gt=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e6)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
MOST_IN_BATCH = 4096
"""The most photos in a batch: for losses over all pairs, memory grows with its square."""


class SettingsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the settings."""


class Optimiser(SettingsTable, frozen=True):
    """AdamW (Loshchilov and Hutter, 2019), and its learning rate over the epochs.

    The rate rises from 0 to `rate` over `warm_up` epochs; then it stays there, or falls to 0 along
    half a cosine. Biases, norms and slopes have no weight decay.
    """

    rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: NotNegative = 0.5
    epochs: Count = 30

    def __post_init__(self) -> None:
        if self.warm_up >= self.epochs:
            raise ValueError(f"warm_up {self.warm_up:g} must be below epochs, {self.epochs}")

    def at(self, epochs: float) -> float:
        """The learning rate after `epochs`, which may be a fraction."""
        if epochs < self.warm_up:
            return self.rate * epochs / self.warm_up
        if self.schedule == "constant":
            return self.rate
        gone = (epochs - self.warm_up) / (self.epochs - self.warm_up)
        return self.rate * (1 + math.cos(math.pi * gone)) / 2


class Stop(SettingsTable, frozen=True):
    """When a run ends early: after `patience` epochs without a better one; 0 means never."""

    patience: Annotated[int, Meta(ge=0, le=100_000)] = 8


class Checkpoint(SettingsTable, frozen=True):
    """How often a checkpoint is written: every `steps` steps, and after each epoch."""

    steps: Count = 100


class RunPlan(SettingsTable, frozen=True):
    """The settings that every kind of run has, for the loop."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    optimiser: Optimiser = Optimiser()
    stop: Stop = Stop()
    checkpoint: Checkpoint = Checkpoint()


class EncoderStart(SettingsTable, frozen=True):
    """A new encoder of an `architecture`, or the float encoder of a `bundle`: one of the two."""

    architecture: str | None = None
    bundle: Path | None = None

    def __post_init__(self) -> None:
        if (self.architecture is None) == (self.bundle is None):
            raise ValueError('needs either architecture = "NAME" or bundle = "PATH"')


class PeopleShares(SettingsTable, frozen=True):
    """Shares of the people who are set aside and never trained on.

    `choosing` people evaluate every epoch and so choose the best. `judging` people evaluate only
    the result: measured on the people who chose it, the best epoch looks better than it is.
    """

    choosing: Share = 0.15
    judging: Share = 0.15

    def __post_init__(self) -> None:
        if self.choosing + self.judging >= 1:
            raise ValueError("choosing and judging leave nobody to train on")


class LossChoice(SettingsTable, frozen=True):
    """A loss, by a name that `ostiary-train losses` lists, and its options.

    `alpha` is the margin in the loss's own unit; None means its default. `mining` chooses the
    triplets of a batch, for triplet losses; `scale` is s of the losses with a centre per person.
    """

    name: str = "triplet"
    alpha: NotNegative | None = None
    mining: Mining = "semi-hard"
    scale: Positive = 64.0


class Batches(SettingsTable, frozen=True):
    """A batch is `images` photos of each of `people` people."""

    people: Annotated[int, Meta(ge=2, le=1000)] = 10
    images: Annotated[int, Meta(ge=2, le=1000)] = 4

    def __post_init__(self) -> None:
        if (photos := self.people * self.images) > MOST_IN_BATCH:
            raise ValueError(f"a batch of {photos} photos is more than {MOST_IN_BATCH}")


class Augment(SettingsTable, frozen=True):
    """The camera condition to simulate on photos: see `training.data.augment.DOMAINS`."""

    domain: str = "none"


class FitSettings(RunPlan, frozen=True, kw_only=True):
    """The whole settings file of `fit`."""

    encoder: EncoderStart
    data: PeopleShares = PeopleShares()
    loss: LossChoice = LossChoice()
    batches: Batches = Batches()
    augment: Augment = Augment()
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    """Threads of each process; the last bits of the weights depend on their number."""


AnyPlan = TypeVar("AnyPlan", bound=RunPlan)


def raw(path: Path) -> bytes:
    """The bytes of a settings file. Raises ConfigError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def parse(held: bytes, path: Path, kind: type[AnyPlan]) -> AnyPlan:
    """The settings in a file, as a `kind`. Raises ConfigError with the file and field."""
    hint = "the help of `ostiary-train fit` shows a settings file"
    try:
        return msgspec.toml.decode(held, type=kind, dec_hook=_path_of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", hint) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: too many nested brackets", hint) from error


def parse_settings(held: bytes, path: Path) -> FitSettings:
    """The settings of `fit`; a relative bundle path starts at the file's own folder."""
    found = parse(held, path, FitSettings)
    if found.encoder.bundle is None:
        return found
    start = EncoderStart(bundle=path.resolve().parent / found.encoder.bundle)
    return msgspec.structs.replace(found, encoder=start)


def _path_of(kind: type, value: object) -> object:
    if kind is not Path or not isinstance(value, str) or "\0" in value:
        raise ValueError("not a path")
    return Path(value)
