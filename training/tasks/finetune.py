"""Fine-tuning: an encoder learns to embed a photo in a camera's domain as it embeds the original.

The encoder is both teacher and student. The teacher never changes and sees each photo unchanged;
the student begins as its copy and sees the photo as the camera would. Names are not needed, so
people with one photo are used too. The student also sees a share of the photos unchanged, so that
it does not get worse on these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from ostiary.edge.core.scores.metrics import tar_at_fmr
from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime.det import Sha256
from ostiary.export.graphs.run import Images
from ostiary.training.data import photos as data
from ostiary.training.data.augment import DOMAINS, Augmentation
from ostiary.training.data.photos import Faces
from ostiary.training.encoders import save
from ostiary.training.encoders.architectures import Encoder
from ostiary.training.judge import evaluation, guard, outcome
from ostiary.training.judge.bootstrap import LEAST_PEOPLE
from ostiary.training.judge.embed import embed
from ostiary.training.judge.evaluation import Evaluation
from ostiary.training.judge.guard import FMR, Change, TarGuard, ViewEmbeddings, Views
from ostiary.training.losses.distance import LossValue
from ostiary.training.run import checkpoint
from ostiary.training.run.batches import Photos
from ostiary.training.run.loop import Key, LearningTask
from ostiary.training.run.sampling import Rows, batches
from ostiary.training.run.settings import Count, Optimiser, RunPlan, Share, Stop
from ostiary.training.tasks.fit import Parts

RESULT = "finetuning.json"
AS_THEY_ARE = "as they are"
CHOOSING, JUDGING = 1, 2
"""Added to the run's seed for the simulated photos of the people who choose and who evaluate."""


class Finetuning(RunPlan, frozen=True):
    """The settings of a fine-tuning.

    `plain` is the share of each batch of `images` photos that is shown unchanged, `max_loss` the
    TAR at an FMR of 1e-3 that unchanged photos may lose. `choosing` and `judging` are the shares of
    the people with several photos who are set aside to choose the epoch and to evaluate the result.
    """

    domain: str = "night"
    choosing: Share = 0.15
    judging: Share = 0.45
    images: Annotated[int, Meta(ge=2, le=4096)] = 32
    plain: Share = 0.5
    max_loss: Annotated[float, Meta(ge=0, le=1)] = guard.MAX_LOSS
    optimiser: Optimiser = Optimiser(rate=1e-4, epochs=4, warm_up=0.5)
    stop: Stop = Stop(patience=3)
    threads: Count = 1


class Finetuned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The result of a fine-tuning, measured on people who took no other part in it.

    `encoder_id` is None if the gain does not justify a new encoder; `objections` then say why.
    """

    domain: str
    begun_with: Sha256
    encoder_id: Sha256 | None
    epoch: int
    """The epoch that was kept; 0 is the encoder before training."""
    max_loss: float
    objections: list[str]
    changes: list[Change]


@dataclass(frozen=True, slots=True, eq=False)
class DomainObjective:
    """The mean over a batch of 1 - cos(student(x'), teacher(x)): x' is photo x as the domain shows
    it, or unchanged for a `plain` share of the batch.

    `wanted` (n, dim) holds the teacher's embeddings of the photos. Ge et al., Low-resolution Face
    Recognition in the Wild via Selective Knowledge Distillation, 2019, without the selection.
    """

    encoder: Encoder
    images: Images
    how: Augmentation
    wanted: Tensor
    plain: float

    def __call__(self, rows: Rows, key: Key) -> LossValue:
        cut = round(self.plain * len(rows))
        places = np.arange(len(rows))
        shown = [
            Photos(self.images, self.encoder.spec, how).tensor(rows[part], key, places[part])
            for how, part in ((None, slice(cut)), (self.how, slice(cut, None)))
            if len(rows[part])
        ]
        made = self.encoder(torch.cat(shown))
        return LossValue((1 - (made * self.wanted[rows]).sum(1)).mean(), None)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFinetuning:
    """A fine-tuning before its first step; `before` are the embeddings of `judged` at that time."""

    settings: Finetuning
    encoder: Encoder
    encoder_id: str
    task: LearningTask
    judged: Views
    before: ViewEmbeddings
    made_with: dict[str, str]

    @property
    def steps(self) -> int:
        """The steps of all epochs, if the run does not stop early."""
        return self.settings.optimiser.epochs * len(self.task.batches(1))


def domain_of(name: str) -> Augmentation:
    """The changes that simulate a camera's domain. Raises ConfigError for an unknown name."""
    known = {name: how for name, how in DOMAINS.items() if how != Augmentation()}
    if name not in known:
        raise ConfigError(f"no domain {name!r} to fine-tune for", f"use one of {', '.join(known)}")
    return known[name]


def parts(settings: Finetuning, faces: Faces) -> Parts:
    """The people in three parts; people with one photo are all in the training part.

    Raises PhotoError if a part would have fewer than two people.
    """
    count = np.bincount(faces.crops.person, minlength=len(faces.names))
    several = [name for name, photos in zip(faces.names, count, strict=True) if photos > 1]
    shares = (settings.choosing, settings.judging)
    paired = replace(faces, crops=data.by_names(faces, several))
    _, choosing, judging = data.split(paired, shares, settings.seed)
    apart = {*choosing.names, *judging.names}
    return Parts(data.by_names(faces, set(faces.names) - apart), choosing, judging)


def begin(
    settings: Finetuning, encoder: Encoder, encoder_id: str, photos: Parts, how: Augmentation
) -> PreparedFinetuning:
    """Prepare a fine-tuning, with the encoder in its present state as the teacher.

    Raises PhotoError if too few people are left to choose the epoch or to evaluate the result.
    """
    seed, choosing, judging = settings.seed, photos.choosing, photos.judging
    if judging.people < LEAST_PEOPLE:
        raise PhotoError(
            f"{judging.people} people to evaluate on: an interval needs at least {LEAST_PEOPLE}",
            "give several photos of more people",
        )
    judged = guard.views(judging.images, judging.person, how, seed + JUDGING)
    watched = guard.views(choosing.images, choosing.person, how, seed + CHOOSING)
    start = tar_at_fmr(guard.look(encoder, watched).pairs("plain_plain"), FMR)
    images = photos.training.images
    taught = DomainObjective(
        encoder, images, how, torch.from_numpy(embed(encoder, images)), settings.plain
    )
    before = guard.look(encoder, judged)
    # The gradient of a Conv is faster with channels last in memory.
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = LearningTask(
        encoder,
        lambda epoch: batches(len(images), settings.images, seed, epoch),
        taught,
        TarGuard(encoder, watched, start, settings.max_loss),
    )
    made_with = _made_with(settings, encoder_id, photos)
    return PreparedFinetuning(settings, encoder, encoder_id, task, judged, before, made_with)


def _made_with(settings: Finetuning, encoder_id: str, photos: Parts) -> dict[str, str]:
    """Digests, by names for error messages, of what must be the same when a run is resumed."""
    return {
        "settings": checkpoint.digest([msgspec.json.encode(settings)]),
        "encoder to begin with": encoder_id,
        "photos": photos.digest(),
    }


def end(
    lesson: PreparedFinetuning, epoch: int, folder: Path, licence: str, photos: Collection[str]
) -> tuple[Finetuned, list[Evaluation]]:
    """Evaluate the fine-tuned encoder; returns the result and the `evaluations`.

    The encoder is that of `epoch`. If it is good enough, it is written to the run's folder with the
    ids of the `photos` that it learned from, and with a warning if its EER does not prove the gain.
    """
    settings = lesson.settings
    after = guard.look(lesson.encoder, lesson.judged)
    changes = guard.changes(lesson.before, after)
    objections = guard.objections(changes, settings.max_loss)
    told = evaluations(settings.domain, lesson.before, after)
    if epoch == 0:
        objections = ["no epoch improved without losing too much on unchanged photos"]
    written = None
    if not objections:
        written = _written(lesson.encoder, folder, licence, photos, outcome.warnings(told))
    made = Finetuned(
        domain=settings.domain,
        begun_with=lesson.encoder_id,
        encoder_id=written,
        epoch=epoch,
        max_loss=settings.max_loss,
        objections=objections,
        changes=changes,
    )
    write_atomically(folder / RESULT, msgspec.json.format(msgspec.json.encode(made)))
    return made, told


def _written(
    encoder: Encoder,
    folder: Path,
    licence: str,
    photos: Collection[str],
    warnings: Sequence[str],
) -> str:
    """Write the new encoder; returns its id."""
    save.write(encoder, folder, licence, photos, warnings)
    return checkpoint.digest([(folder / save.ENCODER).read_bytes()])


def evaluations(domain: str, before: ViewEmbeddings, after: ViewEmbeddings) -> list[Evaluation]:
    """Both encoders evaluated in the domain and on unchanged photos."""
    return [
        evaluation.measure(name, rows, seen.person, data_set)
        for data_set in (domain, AS_THEY_ARE)
        for name, seen in (("before", before), ("after", after))
        for rows in (seen.domain if data_set == domain else seen.plain,)
    ]
