"""`fit` in parts: the encoder to begin with, what it learns from, and what came out of it."""

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
from ostiary.training.losses import distance
from ostiary.training.losses.distance import BatchLoss
from ostiary.training.run import checkpoint
from ostiary.training.run.batches import Photos, Supervised
from ostiary.training.run.distributed import Team
from ostiary.training.run.loop import EpochVerdict, LearningTask
from ostiary.training.run.sampling import PeopleBatches
from ostiary.training.run.settings import Augment, EncoderStart, FitSettings, PeopleShares

FMR = 1e-3
"""Where TAR is told each epoch, if the pairs are enough to show it."""
CENTRED_ON = 256


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The photos, no person in two parts: see `ostiary.training.run.settings.PeopleShares`."""

    training: Crops
    choosing: Crops
    judging: Crops

    def __iter__(self) -> Iterator[tuple[str, Crops]]:
        """Each with what it is for."""
        yield "training", self.training
        yield "choosing the epoch", self.choosing
        yield "judging", self.judging

    def digest(self) -> str:
        """Of every photo and whose it is, part by part."""
        held = (data for _, part in self for data in (part.images, part.person))
        return checkpoint.digest(each.tobytes() for each in held)


def in_parts(faces: Faces, kept_apart: PeopleShares, seed: int) -> Parts:
    """The faces in three parts by people. Raises PhotoError where they are too few."""
    return Parts(*data.split(faces, (kept_apart.choosing, kept_apart.judging), seed))


def encoder_of(start: EncoderStart, seed: int) -> Encoder:
    """A new encoder, or the float one of a bundle. Raises ConfigError or BundleError."""
    if start.bundle is None:
        return architectures.build(str(start.architecture), seed)
    held = bundles.read(start.bundle)
    entry = held.model(FLOAT)
    return OnnxEncoder(onnx.load(str(held.path / entry.file)), entry.spec)


def begun_with(start: EncoderStart) -> tuple[str, list[str]]:
    """The licence of the weights that will come out, and the ids of photos that those to begin with
    learned from: where they are others', the terms of those hold. Raises BundleError, ConfigError.
    """
    if start.bundle is None:
        return "not stated", []
    held = bundles.read(start.bundle)
    found = dict.fromkeys(source.licence for source in held.manifest.sources)
    licence = f"learned from encoder {held.encoder_id[:12]}: {'; '.join(found) or 'not stated'}"
    return licence, learned.in_bundle(held)


def learned_from(known: Sequence[str], photos: Parts) -> list[str]:
    """The ids of all photos that weights come from which began with `known` ones, those that chose
    the epoch among them."""
    return sorted({*known, *photos.training.photos, *photos.choosing.photos})


def made_with(
    settings: FitSettings, encoder: Encoder, photos: Parts, known: Sequence[str], team: Team
) -> dict[str, str]:
    """Digests of what must be the same in a resumed run, by what a person calls it."""
    # Where a bundle lies says nothing; its weights do.
    begun = msgspec.structs.replace(settings, encoder=EncoderStart(architecture="its weights"))
    weights = (held.numpy().tobytes() for held in encoder.state_dict().values())
    found = {
        "settings": checkpoint.digest([msgspec.json.encode(begun)]),
        "weights to begin with": checkpoint.digest(weights),
        "photos": photos.digest(),
    }
    if known:
        found["photos learned before"] = checkpoint.digest(photo.encode() for photo in known)
    # Its statistics are of each process's share, so that it learns otherwise in another number.
    if any(isinstance(layer, nn.BatchNorm2d) for layer in encoder.modules()):
        found["processes"] = str(team.size)
    return found


def check(settings: FitSettings, encoder: Encoder) -> None:
    """Before any face is looked for. Raises ConfigError for an unknown loss or domain."""
    augmentation(settings.augment)
    loss_of(settings, encoder, data.LEAST_PEOPLE)


def loss_of(settings: FitSettings, encoder: Encoder, people: int) -> BatchLoss:
    """The loss for so many people. Raises ConfigError where there is none like it."""
    chosen = settings.loss
    return distance.make(
        chosen.name,
        encoder.dim,
        people,
        alpha=chosen.alpha,
        mining=chosen.mining,
        scale=chosen.scale,
        seed=settings.seed,
    )


def task_of(settings: FitSettings, encoder: Encoder, photos: Parts, team: Team) -> LearningTask:
    """What `fit` learns; a new encoder is centred on the photos that it learns from.

    Raises ConfigError for an unknown loss or domain.
    """
    if settings.encoder.bundle is None:
        architectures.centre(encoder, shown_to(encoder, photos.training.images[:CENTRED_ON]))
    # The losses with a centre a person know the people by number, from 0.
    names, person = np.unique(photos.training.person, return_inverse=True)
    loss, batch = loss_of(settings, encoder, len(names)), settings.batches
    shown = Photos(photos.training.images, encoder.spec, augmentation(settings.augment))
    batches = PeopleBatches(person, batch.people, batch.images, settings.seed)
    objective = Supervised(encoder, loss, shown, person, team)
    return LearningTask(
        encoder, batches.epoch, objective, lambda: verdict(encoder, photos.choosing), loss
    )


def shown_to(encoder: Encoder, images: Images) -> Tensor:
    """Crops as one tensor of what the encoder takes."""
    return torch.from_numpy(run.tensors(images, encoder.spec))


def augmentation(chosen: Augment) -> Augmentation:
    """How photos are changed. Raises ConfigError for an unknown domain."""
    if chosen.domain not in DOMAINS:
        raise ConfigError(f"no domain {chosen.domain!r}", f"one of {', '.join(DOMAINS)}")
    return DOMAINS[chosen.domain]


def verdict(encoder: Encoder, people: Crops) -> EpochVerdict:
    """The EER over every pair of some photos, and TAR where they are enough to show it."""
    rows = embed(encoder, people.images)
    genuine, impostor, pairs = all_pairs(rows, rows, people.person)
    found = eer(genuine, impostor)
    if FMR * pairs.impostors < LEAST_IMPOSTORS:
        return EpochVerdict(found, found)
    return EpochVerdict(found, found, tar_at_fmr(pairs, FMR))


def worth(name: str, encoder: Encoder, people: Crops) -> Evaluation:
    """All there is to tell of an encoder on people that it never saw."""
    return evaluation.measure(name, embed(encoder, people.images), people.person)


def parts_of(photos: Parts) -> list[Part]:
    """What the report says of the photos."""
    return [Part(use, part.people, len(part)) for use, part in photos]
