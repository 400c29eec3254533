"""Fine-tuning: it learns the domain without names, and nothing that loses elsewhere is kept."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from ostiary.edge.core.faces.preprocess import to_tensor
from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import run as running
from ostiary.export.sources.spec import read_spec
from ostiary.training.data.augment import augment
from ostiary.training.data.photos import Faces, LeftOut
from ostiary.training.encoders.onnx_encoder import OnnxEncoder
from ostiary.training.judge import guard, outcome
from ostiary.training.judge.embed import embed
from ostiary.training.judge.guard import FMR, TarGuard
from ostiary.training.run import loop, sampling
from ostiary.training.run.log import EpochLine, Line
from ostiary.training.run.loop import RunOutcome
from ostiary.training.run.settings import Optimiser, Stop
from ostiary.training.tasks import finetune
from ostiary.training.tasks.finetune import (
    DomainObjective,
    Finetuned,
    Finetuning,
    PreparedFinetuning,
)
from ostiary.training.tasks.fit import Parts
from tests.support.places import ostiary, refused
from tests.support.training.lesson import DIM, NIGHT, PHOTOS, SIDE_PX, SPEC, encoder, people, tiny

EPOCHS = 3
SETTINGS = Finetuning(
    seed=4,
    images=16,
    max_loss=0.02,
    optimiser=Optimiser(rate=1e-2, epochs=EPOCHS, warm_up=0.5),
    stop=Stop(patience=0),
)
LESSONS = np.array([3, 17, 4, 9, 12, 1, 30, 8])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


class Recorder(OnnxEncoder):
    """The tiny encoder that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(tiny(), SPEC)
        self.shown: list[Tensor] = []

    def forward(self, given: Tensor) -> Tensor:
        self.shown.append(given)
        return super().forward(given)


def begin(settings: Finetuning = SETTINGS, photos: Parts = PHOTOS) -> PreparedFinetuning:
    return finetune.begin(settings, encoder(), "0" * 64, photos, NIGHT)


def taught(
    lesson: PreparedFinetuning, folder: Path, resume: bool = False, **more: Any
) -> RunOutcome:
    folder.mkdir(exist_ok=True)
    made = lesson.made_with
    return loop.fit(lesson.task, lesson.settings, folder, made, resume=resume, **more)


def weights(lesson: PreparedFinetuning) -> bytes:
    return b"".join(held.numpy().tobytes() for held in lesson.encoder.state_dict().values())


def test_the_loss_is_what_a_loop_over_the_photos_gives() -> None:
    student, images = encoder(), PHOTOS.training.images
    teacher = embed(student, images)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(0.9).add_(0.01)
    objective = DomainObjective(student, images, NIGHT, torch.from_numpy(teacher), 0.25)
    found = objective(LESSONS, (4, 2, 7))
    total = 0.0
    for place, row in enumerate(LESSONS):
        image = images[row]
        if place >= 2:  # a quarter of eight is shown as it is
            image = augment(image, np.random.default_rng((4, 2, 7, place + 1)), NIGHT)
        (seen,) = embed(student, image[None])
        total += 1 - float(seen @ teacher[row])
    assert found.value.item() == pytest.approx(total / len(LESSONS), abs=1e-6)
    assert found.active is None


def test_only_the_share_shown_as_it_is_escapes_the_domain() -> None:
    recorder, images = Recorder(), PHOTOS.training.images
    DomainObjective(recorder, images, NIGHT, torch.zeros(len(images), DIM), 0.5)(LESSONS, (1, 1, 1))
    plain = [
        np.array_equal(seen, to_tensor(images[row], SPEC)[0])
        for row, seen in zip(LESSONS, recorder.shown[0].numpy(), strict=True)
    ]
    assert plain == [True] * 4 + [False] * 4


def test_the_people_are_in_one_part_each_and_one_photo_is_enough_to_teach() -> None:
    count = np.array([1, 2, 3, 1, 5, 2, 2, 1, 4, 2, 2, 3])
    person = np.repeat(np.arange(len(count)), count)
    names = [f"p{i}" for i in range(len(count))]
    images = np.zeros((len(person), SIDE_PX, SIDE_PX, 3), np.uint8)
    crops = Crops(images, person, [str(i) for i in range(len(person))], names, {}, {})
    settings = msgspec.structs.replace(SETTINGS, choosing=0.25, judging=0.4)
    found = finetune.parts(settings, Faces(crops, LeftOut()))
    held = [set(part.names) for _, part in found]
    assert set.union(*held) == set(names)
    assert sum(map(len, held)) == len(names)
    assert held[0] >= {"p0", "p3", "p7"}
    assert [len(part) for part in held[1:]] == [2, 4]
    photos = [photo for _, part in found for photo in part.photos]
    assert sorted(photos, key=int) == crops.photos
    barred = frozenset({*held[2]} - {min(held[2])} | {"p0"})
    for seed in range(8):
        other = msgspec.structs.replace(settings, seed=seed)
        learning, *_ = (part for _, part in finetune.parts(other, Faces(crops, LeftOut(), barred)))
        assert barred <= set(learning.names)


def test_few_who_judge_are_refused_before_anything_is_learned() -> None:
    """However many photos they have: an interval over nine people is none."""
    few = replace(PHOTOS, judging=people(9, 20, 3))
    with pytest.raises(PhotoError, match="9 people to evaluate on: an interval needs at least 10"):
        begin(photos=few)


@pytest.mark.parametrize("name", ["none", "dusk"])
def test_a_domain_that_changes_nothing_is_refused_like_one_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no domain '{name}' to fine-tune for.*night"):
        finetune.domain_of(name)


def test_an_epoch_shows_every_photo_once_in_an_order_of_its_own() -> None:
    first, again, other = (sampling.batches(70, 32, 5, epoch) for epoch in (1, 1, 2))
    assert [len(rows) for rows in first] == [32, 32, 6]
    assert sorted(np.concatenate(first)) == list(range(70))
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


def test_it_learns_the_domain_and_holds_the_guard(tmp_path: Path) -> None:
    lesson, lines = begin(), list[Line]()
    ended = taught(lesson, tmp_path, watchers=[lines.append])
    made, told = finetune.end(lesson, ended.best_epoch, tmp_path, "mine", ["b", "a"])
    after = guard.look(lesson.encoder, lesson.judged)
    gain = {c.comparison: c.gain for c in made.changes if c.fmr == FMR}
    assert gain["domain_domain"].low > 0
    assert -gain["plain_plain"].value <= SETTINGS.max_loss
    losses = [line.loss for line in lines if not isinstance(line, EpochLine)]
    assert np.mean(losses[-9:]) < 0.8 * np.mean(losses[:9])
    assert made.objections == []
    file = (tmp_path / "encoder.onnx").read_bytes()
    assert made.encoder_id == sha256(file) != lesson.encoder_id
    assert msgspec.json.decode((tmp_path / finetune.RESULT).read_bytes(), type=Finetuned) == made
    described = read_spec(tmp_path / "encoder.toml")
    assert (described.licence, described.learned) == ("mine", "learned.json")
    assert described.warnings == outcome.warnings(told)
    assert msgspec.json.decode((tmp_path / "learned.json").read_bytes()) == ["a", "b"]
    judged = running.embed(file, lesson.judged.domain, SPEC, "onnxruntime")
    np.testing.assert_allclose(judged, after.domain, atol=1e-5)
    assert [(one.data_set, one.name) for one in told] == [
        ("night", "before"), ("night", "after"), ("as they are", "before"), ("as they are", "after")
    ]  # fmt: skip
    assert told[1].tar[1].tar == next(c.after for c in made.changes if c.fmr == FMR)


def test_nobody_is_named_in_what_it_learns_from(tmp_path: Path) -> None:
    others = replace(PHOTOS.training, person=np.zeros(len(PHOTOS.training), np.int64))
    lessons = begin(), begin(photos=Parts(others, PHOTOS.choosing, PHOTOS.judging))
    for number, lesson in enumerate(lessons):
        taught(lesson, tmp_path / str(number))
    assert weights(lessons[0]) == weights(lessons[1]) != weights(begin())


def test_a_state_that_lost_too_much_is_never_the_best(tmp_path: Path) -> None:
    """It would be held against an encoder that nobody can reach, however well it learns."""
    lesson, lines = begin(), list[Line]()
    judge = lesson.task.judge
    assert isinstance(judge, TarGuard)
    strict = replace(lesson.task, judge=replace(judge, start=2.0))
    ended = taught(replace(lesson, task=strict), tmp_path, watchers=[lines.append])
    epochs = [line for line in lines if isinstance(line, EpochLine)]
    tars = [line.tar for line in epochs if line.tar is not None]
    assert len(tars) == len(epochs)
    assert max(tars[1:]) > tars[0] + 0.1
    assert [line.best for line in epochs] == [True] + [False] * EPOCHS
    assert ended.best_epoch == 0
    assert weights(lesson) == weights(begin())
    made, _ = finetune.end(lesson, ended.best_epoch, tmp_path, "", ["a"])
    assert made.encoder_id is None
    assert made.objections == ["no epoch improved without losing too much on unchanged photos"]
    assert not (tmp_path / "encoder.onnx").exists()


def test_it_resumes_to_the_same_weights_and_refuses_another_lesson(tmp_path: Path) -> None:
    whole = begin()
    taught(whole, tmp_path / "whole")

    def stop(line: Line) -> None:
        if not isinstance(line, EpochLine) and line.step == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taught(begin(), tmp_path / "cut", watchers=[stop])
    again = begin()
    taught(again, tmp_path / "cut", resume=True)
    assert weights(again) == weights(whole)
    milder = begin(msgspec.structs.replace(SETTINGS, plain=0.75))
    with pytest.raises(ConfigError, match="other settings"):
        taught(milder, tmp_path / "cut", resume=True)


def test_the_command_refuses_before_it_looks_for_faces(tmp_path: Path) -> None:
    asked = ["finetune", "--bundle", tmp_path / "b", "--faces", tmp_path, "--out", tmp_path / "run"]
    assert "no domain 'dusk' to fine-tune for" in refused(
        *asked, "--domain", "dusk", program="training"
    )
    assert "there is no run" in refused(*asked, "--resume", program="training")
    assert not (tmp_path / "run").exists()


def some_of(faces: Path, folder: Path) -> Path:
    """Three photos of everybody who has as many, and 200 people with one."""
    photos = [sorted(person.iterdir()) for person in sorted(faces.iterdir())]
    alone = [held for held in photos if len(held) == 1][:200]
    for photo in chain.from_iterable(held[:3] for held in photos if len(held) > 2 or held in alone):
        (folder / photo.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / photo.parent.name / photo.name).symlink_to(photo)
    return folder


@pytest.mark.long
@pytest.mark.data
def test_the_shipped_encoder_learns_the_night_and_holds_the_day(
    bundle_dir: Path, faces_data: Path, tmp_path: Path
) -> None:
    run, faces = tmp_path / "night", some_of(faces_data, tmp_path / "faces")
    given: tuple[object, ...] = ("--bundle", bundle_dir, "--faces", faces, "--out", run)
    # One epoch of the usual four, and a third of the photos: the figures of all are in
    # docs/training.md. So few people cannot rule out a loss of the usual .005.
    given += ("--epochs", "1", "--threads", "2", "--max-loss", "0.02")
    done = ostiary("finetune", *given, "--json", program="training")
    assert done.returncode == 0, done.stderr
    made = msgspec.json.decode(done.stdout, type=Finetuned)
    change = {c.comparison: c for c in made.changes if c.fmr == FMR}
    assert 0.6 < change["domain_domain"].before.value < 0.9
    assert change["domain_domain"].gain.low > 0
    assert change["plain_domain"].gain.low > 0
    assert -change["plain_plain"].gain.value <= 0.005
    assert made.encoder_id == sha256((run / "encoder.onnx").read_bytes())
    assert made.begun_with == bundles.read(bundle_dir).encoder_id != made.encoder_id
    assert (run / "report.html").exists()
    assert len(learned.read(run / "learned.json")) > 600
