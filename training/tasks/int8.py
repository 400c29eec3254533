"""Distillation: the int8 encoder learns to give each photo the float encoder's embedding.

Knowledge distillation (Hinton et al., Distilling the Knowledge in a Neural Network, 2015) into the
rounded encoder of Jacob et al., 2018. It needs no names; the gate leaves out the people whose
photos were trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import onnx
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run
from ostiary.export.graphs.run import Images
from ostiary.export.int8 import bias_correction, equalise
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Int8Lesson, Table
from ostiary.training.data.augment import DOMAINS, augment
from ostiary.training.data.photos import Faces
from ostiary.training.encoders.fake_int8 import FakeInt8
from ostiary.training.judge.embed import eer, embed
from ostiary.training.losses.distance import LossValue
from ostiary.training.run import checkpoint
from ostiary.training.run.batches import Photos
from ostiary.training.run.loop import EpochVerdict, Key, LearningTask, RunOutcome
from ostiary.training.run.sampling import Rows, batches
from ostiary.training.run.settings import Count, Optimiser, RunPlan, Stop

Say = Callable[[str], None]
LEAST_PHOTOS = 256
"""The fewest photos to train and to choose the epoch: fewer cannot determine a million weights."""
CHOOSING = 8
"""Each CHOOSING-th person helps to choose the epoch; all others are trained on."""
LEAST_PEOPLE = 3
"""The fewest people: one to train on, and two to choose the epoch, who make an impostor pair."""


class Teaching(RunPlan, frozen=True):
    """The settings of a distillation; the rate is the most int8 steps that a weight moves in a step
    of training."""

    images: Annotated[int, Meta(ge=2, le=4096)] = 16
    optimiser: Optimiser = Optimiser(rate=0.01, weight_decay=0.0, warm_up=0.1, epochs=3)
    stop: Stop = Stop(patience=0)
    threads: Count = 1


@dataclass(frozen=True, slots=True, eq=False)
class Int8Objective:
    """The mean over a batch of 1 - cos(int8(x), float(x)); `wanted` (n, dim) holds float(x)."""

    pupil: FakeInt8
    photos: Photos
    wanted: Tensor

    def __call__(self, rows: Rows, key: Key) -> LossValue:
        given = self.photos.tensor(rows, key, np.arange(len(rows)))
        made = self.pupil(given.contiguous(memory_format=torch.channels_last))
        return LossValue((1 - (made * self.wanted[rows]).sum(1)).mean(), None)


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Measures how far int8 is from float on people set aside: 1 - the mean cosine.

    The EER is reported too, with float templates of the mirrored photos and int8 probes.
    """

    pupil: FakeInt8
    images: Images
    person: NDArray[np.int64]
    wanted: Floats
    mirrored: Floats

    def __call__(self) -> EpochVerdict:
        rows = embed(self.pupil, self.images)
        scores = self.mirrored @ rows.T
        impostor = self.person[:, None] != self.person
        away = float(1 - np.einsum("ij,ij->i", rows, self.wanted).mean())
        return EpochVerdict(away, eer(np.diagonal(scores), scores[impostor]))


def pupils(faces: Faces) -> Crops:
    """Choose the people to train on, whom the gate then leaves out.

    These are the barred people and people with a single photo, who make no genuine pair for the
    gate anyway. If their photos are too few, people with the fewest photos join, up to half of all
    people. Raises PhotoError if the photos are still too few.
    """
    crops = faces.crops
    photos = np.bincount(crops.person, minlength=len(faces.names))
    free = ~faces.may_judge | (photos == 1)
    order = np.lexsort((photos, ~free))
    enough = int(np.searchsorted(np.cumsum(photos[order]), LEAST_PHOTOS)) + 1
    count = max(int(free.sum()), min(max(enough, LEAST_PEOPLE), len(order) // 2))
    chosen = crops.only(np.isin(crops.person, order[:count]))
    if len(chosen) < LEAST_PHOTOS or not LEAST_PEOPLE <= count < len(order):
        raise PhotoError(
            f"{len(chosen)} photos of {count} of the {len(order)} people to train on are too few:"
            f" needed are {LEAST_PHOTOS} photos of at least {LEAST_PEOPLE} people, and others to"
            " evaluate on",
            "give photos of more people",
        )
    return chosen


def begin(model: onnx.ModelProto, table: Table, chosen: Crops, spec: InputSpec, say: Say) -> Table:
    """The table with every layer in int8, and with the photos to train on, which the gate leaves
    out.

    If some layers were in float, the bias corrections are computed again, since they depend on
    this.
    """
    photos = sorted({*table.photos, *chosen.photos})
    start = msgspec.structs.replace(table, floats={}, photos=photos)
    if not table.floats:
        return start

    def layer(at: int, total: int) -> None:
        say(f"bias correction, layer {at} of {total}")

    equal = equalise.apply(model, table.exponents)
    found = bias_correction.corrections(equal, start, chosen.images, spec, layer)
    return msgspec.structs.replace(start, biases=found)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTeaching:
    """A distillation before its first step; `before` is the distance from float at that time."""

    settings: Teaching
    pupil: FakeInt8
    task: LearningTask
    before: float
    made_with: dict[str, str]

    @property
    def steps(self) -> int:
        """The steps of all epochs."""
        return self.settings.optimiser.epochs * len(self.task.batches(1))


def prepare(
    model: onnx.ModelProto, start: Table, chosen: Crops, settings: Teaching, spec: InputSpec
) -> PreparedTeaching:
    """Prepare to train the int8 encoder of the table `start` on the photos `chosen`."""
    pupil = FakeInt8(model, start, spec)
    task = _task(pupil, model, chosen, settings)
    made_with = {
        "settings": checkpoint.digest([msgspec.json.encode(settings)]),
        "table": checkpoint.digest([tables.to_text(start)]),
        "photos": checkpoint.digest([chosen.images.tobytes()]),
    }
    return PreparedTeaching(settings, pupil, task, task.judge().figure, made_with)


def end(lessons: PreparedTeaching, outcome: RunOutcome, chosen: Crops, data_set: str) -> Table:
    """The table with the trained weights and how they were trained.

    Raises BundleError if no epoch was better than the start.
    """
    if outcome.best_epoch == 0:
        raise BundleError(
            "no epoch came nearer to float than plain rounding", "lower the rate", option="rate"
        )
    how = lessons.settings
    lesson = Int8Lesson(
        data_set=data_set,
        people=chosen.people,
        images=len(chosen),
        epochs=outcome.best_epoch,
        rate=how.optimiser.rate,
        seed=how.seed,
        cosine=(round(1 - lessons.before, 6), round(1 - outcome.best, 6)),
        command=f"ostiary-train int8 --epochs {how.optimiser.epochs}"
        f" --rate {how.optimiser.rate:g} --seed {how.seed}",
    )
    return msgspec.structs.replace(lessons.pupil.taught(), lesson=lesson)


def _task(
    pupil: FakeInt8, model: onnx.ModelProto, crops: Crops, settings: Teaching
) -> LearningTask:
    # A Conv is three times as fast with channels last in memory.
    pupil.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    file = normal_form.to_bytes(model)

    def by_float(images: Images) -> Floats:
        return run.embed(file, images, pupil.spec, "onnxruntime")

    people = np.unique(crops.person)
    apart = np.isin(crops.person, people[:: min(CHOOSING, len(people) - 1)])
    judged = crops.images[apart]
    mirrored = by_float(judged[:, :, ::-1])
    judge = Judge(pupil, judged, crops.person[apart], by_float(judged), mirrored)
    shown = views(crops.images[~apart], settings.seed)
    taught = Int8Objective(pupil, Photos(shown, pupil.spec), torch.from_numpy(by_float(shown)))
    return LearningTask(
        pupil,
        lambda epoch: batches(len(shown), settings.images, settings.seed, epoch),
        taught,
        judge,
    )


def views(images: Images, seed: int) -> Images:
    """All photos unchanged, then mirrored, then as a door's camera shows them: (3n, h, w, 3)."""
    seen = [
        augment(image, np.random.default_rng([seed, at]), DOMAINS["door"])
        for at, image in enumerate(images)
    ]
    return np.concatenate([images, images[:, :, ::-1], np.stack(seen)])
