"""The parts of `fit`: the encoder to start from, the photos, the task, and the evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ostiary.edge.core.scores.metrics import tar_at_fmr
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.pairs import LEAST_IMPOSTORS, all_pairs
from ostiary.export.graphs import run
from ostiary.export.graphs.run import Images
from ostiary.training.data import photos as data
from ostiary.training.data.augment import DOMAINS, Augmentation
from ostiary.training.data.photos import Faces
from ostiary.training.encoders import architectures
from ostiary.training.encoders.architectures import Encoder
from ostiary.training.encoders.onnx_encoder import OnnxEncoder
from ostiary.training.judge import evaluation
from ostiary.training.judge.embed import eer, embed
from ostiary.training.judge.evaluation import Evaluation, Part
from ostiary.training.losses import by_name
from ostiary.training.losses.distance import BatchLoss
from ostiary.training.run import checkpoint
from ostiary.training.run.batches import Photos, Supervised
from ostiary.training.run.distributed import Team
from ostiary.training.run.loop import EpochVerdict, LearningTask
from ostiary.training.run.sampling import PeopleBatches
from ostiary.training.run.settings import Augment, EncoderStart, FitSettings, PeopleShares

FMR = 1e-3
"""The FMR at which each epoch's TAR is given, if there are enough pairs to measure it."""
CENTRED_ON = 256
"""Number of training photos on which a new encoder is centred."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The photos in three parts without a person in common: see `settings.PeopleShares`."""

    training: Crops
    choosing: Crops
    judging: Crops

    def __iter__(self) -> Iterator[tuple[str, Crops]]:
        """Yield (use, photos) of each part."""
        yield "training", self.training
        yield "choosing the epoch", self.choosing
        yield "judging", self.judging

    def digest(self) -> str:
        """The SHA-256 of all photos and of the people they show, part by part."""
        held = (data for _, part in self for data in (part.images, part.person))
        return checkpoint.digest(each.tobytes() for each in held)


def in_parts(faces: Faces, kept_apart: PeopleShares, seed: int) -> Parts:
    """Split the people into three parts. Raises PhotoError if they are too few."""
    return Parts(*data.split(faces, (kept_apart.choosing, kept_apart.judging), seed))


def encoder_of(start: EncoderStart, seed: int) -> Encoder:
    """A new encoder, or the float encoder of a bundle. Raises ConfigError or BundleError."""
    if start.bundle is None:
        return architectures.build(str(start.architecture), seed)
    held = bundles.read(start.bundle)
    entry = held.model(FLOAT)
    return OnnxEncoder(onnx.load(str(held.path / entry.file)), entry.spec)


def begun_with(start: EncoderStart) -> tuple[str, list[str]]:
    """(licence of the starting weights, ids of the photos that they learned from).

    Weights from a bundle keep its terms. Raises BundleError or ConfigError.
    """
    if start.bundle is None:
        return "not stated", []
    held = bundles.read(start.bundle)
    found = dict.fromkeys(source.licence for source in held.manifest.sources)
    licence = f"learned from encoder {held.encoder_id[:12]}: {'; '.join(found) or 'not stated'}"
    return licence, learned.in_bundle(held)


def learned_from(known: Sequence[str], photos: Parts) -> list[str]:
    """The ids of all photos that the trained weights depend on.

    These are the photos trained on, those that chose the epoch, and `known`, which the starting
    weights learned from.
    """
    return sorted({*known, *photos.training.photos, *photos.choosing.photos})


def made_with(
    settings: FitSettings, encoder: Encoder, photos: Parts, known: Sequence[str], team: Team
) -> dict[str, str]:
    """Digests, by names for error messages, of what must be the same when a run is resumed."""
    # The bundle's path is left out: it may change as long as the weights are the same.
    begun = msgspec.structs.replace(settings, encoder=EncoderStart(architecture="its weights"))
    weights = (held.numpy().tobytes() for held in encoder.state_dict().values())
    found = {
        "settings": checkpoint.digest([msgspec.json.encode(begun)]),
        "weights to begin with": checkpoint.digest(weights),
        "photos": photos.digest(),
    }
    if known:
        found["photos learned before"] = checkpoint.digest(photo.encode() for photo in known)
    # Batch norm takes statistics per process, so the number of processes affects the weights.
    if any(isinstance(layer, nn.BatchNorm2d) for layer in encoder.modules()):
        found["processes"] = str(team.size)
    return found


def check(settings: FitSettings, encoder: Encoder) -> None:
    """Raise ConfigError for an unknown loss or domain, before minutes are spent on faces."""
    augmentation(settings.augment)
    loss_of(settings, encoder, data.LEAST_PEOPLE)


def loss_of(settings: FitSettings, encoder: Encoder, people: int) -> BatchLoss:
    """The loss of the settings for this many people. Raises ConfigError for an unknown loss."""
    chosen = settings.loss
    return by_name.make(
        chosen.name,
        encoder.dim,
        people,
        alpha=chosen.alpha,
        mining=chosen.mining,
        scale=chosen.scale,
        seed=settings.seed,
    )


def task_of(settings: FitSettings, encoder: Encoder, photos: Parts, team: Team) -> LearningTask:
    """The learning task of `fit`; a new encoder is first centred on some training photos.

    Raises ConfigError for an unknown loss or domain.
    """
    if settings.encoder.bundle is None:
        architectures.centre(encoder, shown_to(encoder, photos.training.images[:CENTRED_ON]))
    # Losses with a centre per person need the people numbered from 0.
    names, person = np.unique(photos.training.person, return_inverse=True)
    loss, batch = loss_of(settings, encoder, len(names)), settings.batches
    shown = Photos(photos.training.images, encoder.spec, augmentation(settings.augment))
    batches = PeopleBatches(person, batch.people, batch.images, settings.seed)
    objective = Supervised(encoder, loss, shown, person, team)
    return LearningTask(
        encoder, batches.epoch, objective, lambda: verdict(encoder, photos.choosing), loss
    )


def shown_to(encoder: Encoder, images: Images) -> Tensor:
    """Crops as one input tensor (n, c, h, w) of the encoder."""
    return torch.from_numpy(run.tensors(images, encoder.spec))


def augmentation(chosen: Augment) -> Augmentation:
    """The changes to photos for the chosen domain. Raises ConfigError for an unknown domain."""
    if chosen.domain not in DOMAINS:
        raise ConfigError(f"no domain {chosen.domain!r}", f"use one of {', '.join(DOMAINS)}")
    return DOMAINS[chosen.domain]


def verdict(encoder: Encoder, people: Crops) -> EpochVerdict:
    """The EER over every pair of photos, and TAR if there are enough pairs to measure it."""
    rows = embed(encoder, people.images)
    genuine, impostor, pairs = all_pairs(rows, rows, people.person)
    found = eer(genuine, impostor)
    if FMR * pairs.impostors < LEAST_IMPOSTORS:
        return EpochVerdict(found, found)
    return EpochVerdict(found, found, tar_at_fmr(pairs, FMR))


def worth(name: str, encoder: Encoder, people: Crops) -> Evaluation:
    """Evaluate an encoder on people that it never saw."""
    return evaluation.measure(name, embed(encoder, people.images), people.person)


def parts_of(photos: Parts) -> list[Part]:
    """The number of people and photos of each part, for the report."""
    return [Part(use, part.people, len(part)) for use, part in photos]
