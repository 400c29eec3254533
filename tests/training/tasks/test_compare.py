"""The table of losses: people apart, one training as the next but for its loss, honest findings."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ostiary.edge.core.types import Image
from ostiary.edge.errors import BackendError, ConfigError
from ostiary.export.faces.crops import Crops
from ostiary.training.cli import compare as command
from ostiary.training.data.photos import Faces, LeftOut
from ostiary.training.run.distributed import ALONE
from ostiary.training.tasks import compare as comparing
from ostiary.training.tasks import fit
from ostiary.training.tasks.compare import (
    HARDEST,
    LOSSES,
    RANDOM,
    UNTRAINED,
    Comparison,
    Contest,
    LossRow,
)


def faces(people: int, images: int, seed: int = 0) -> Faces:
    """Noise that a person shares, and noise of each image's own."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(128, 30, (people, 7, 7))
    person = np.repeat(np.arange(people), images)
    made: list[Image] = []
    for one in person:
        flat = np.kron(shared[one] + rng.normal(0, 40, (7, 7)), np.ones((4, 4)))
        made.append(np.repeat(np.clip(flat, 0, 255).astype(np.uint8)[..., None], 3, 2))
    names = [f"p{i}" for i in range(people)]
    photos = [str(i) for i in range(len(made))]
    return Faces(Crops(np.stack(made), person, photos, names, {}, {}), LeftOut())


def test_those_set_aside_are_others_for_each_seed_and_never_learned() -> None:
    contest = Contest(faces(12, 3), "small-28", 4, 2)
    chosen = set()
    for seed in range(5):
        learned, judging = contest.set_aside(seed)
        assert set(learned.person) | set(judging.person) == set(range(12))
        assert not set(learned.person) & set(judging.person)
        assert judging.people == 4
        chosen.add(tuple(np.unique(judging.person)))
    assert len(chosen) == 5


def test_who_is_set_aside_is_what_the_published_table_was_made_with() -> None:
    contest = Contest(faces(40, 2), "small-28", 10, 2)
    judges = [np.unique(contest.set_aside(seed)[1].person).tolist() for seed in (100, 101)]
    assert judges == [
        [1, 2, 4, 10, 16, 20, 22, 23, 26, 38],
        [4, 9, 11, 12, 14, 22, 24, 28, 30, 37],
    ]


def test_who_may_not_judge_is_learned_from() -> None:
    alike = replace(faces(12, 2), barred=frozenset({"p0", "p7", "gone"}))
    contest = Contest(alike, "small-28", 4, 2)
    assert contest.learned == 8
    for seed in range(20):
        learned, judging = (set(part.person) for part in contest.set_aside(seed))
        assert learned | judging == set(range(12))
        assert len(judging) == 4
        assert learned >= {0, 7}
    with pytest.raises(ConfigError, match="12 people, 11 of them set aside"):
        Contest(alike, "small-28", 11, 2)
    most = replace(alike, barred=frozenset(f"p{i}" for i in range(9)))
    with pytest.raises(ConfigError, match=r"too few people can be set aside \(3\)"):
        Contest(most, "small-28", 4, 2)


def test_only_the_loss_differs() -> None:
    made = [comparing.settings_of("small-28", loss, 3, 7) for loss in LOSSES.values()]
    assert len({(s.optimiser, s.batches, s.seed, s.encoder, s.augment) for s in made}) == 1
    assert len({s.loss for s in made}) == len(LOSSES)


def test_a_table_of_losses_that_training_lowers() -> None:
    told = []
    contest = Contest(faces(14, 5), "small-28", 4, 12)
    names = (UNTRAINED, RANDOM, "ArcFace")
    made = comparing.compare(contest, [0], 1, lambda done, total: told.append((done, total)), names)
    assert [row.name for row in made.rows] == list(names)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (made.people, made.unseen, made.images) == (10, 4, 70)
    # Alone and in a process of its own the same training comes to the same encoder.
    assert made.rows[2].eers == [contest.eer("ArcFace", 0)]
    assert made.rows[0].eers == [as_begun(contest)]
    assert min(row.mean for row in made.rows[1:]) < 0.95 * made.rows[0].mean


def as_begun(contest: Contest) -> float:
    """The EER of the encoder that every loss begins with."""
    settings = comparing.settings_of("small-28", LOSSES[RANDOM], 0, 12)
    encoder = fit.encoder_of(settings.encoder, 0)
    learned, judging = contest.set_aside(0)
    fit.task_of(settings, encoder, fit.Parts(learned, judging, judging), ALONE)
    return fit.verdict(encoder, judging).eer


def test_the_findings_are_those_of_the_table() -> None:
    def findings(untrained: float, random: float, hardest: float) -> list[bool]:
        rows = [
            LossRow(UNTRAINED, [untrained]),
            LossRow(RANDOM, [random]),
            LossRow(HARDEST, [hardest]),
        ]
        return [holds for holds, _ in Comparison("small-28", 30, 10, 400, 5, rows).findings()]

    assert findings(0.25, 0.14, 0.12) == [True, True]
    assert findings(0.25, 0.14, 0.13) == [False, True]
    assert findings(0.25, 0.11, 0.12) == [True, False]


def test_mean_and_spread_are_over_the_seeds() -> None:
    row = LossRow("triplet", [0.1, 0.2, 0.3])
    assert [row.mean, row.spread] == pytest.approx([0.2, 0.1])
    assert LossRow("triplet", [0.1]).spread == 0


def test_too_few_people_to_set_some_aside() -> None:
    with pytest.raises(ConfigError, match="12 people, 11 of them set aside"):
        Contest(faces(12, 2), "small-28", 11, 2)


def test_a_training_that_is_killed_is_named() -> None:
    """As the kernel does where memory runs out."""

    def kill(done: int, total: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    contest = Contest(faces(12, 2), "small-28", 4, 10_000)
    with pytest.raises(BackendError, match="a training was killed") as caught:
        comparing.compare(contest, [0], 1, kill, (UNTRAINED, RANDOM))
    assert caught.value.option == "processes"


def test_an_unknown_architecture_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    asked = ["compare", str(tmp_path), "--bundle", str(tmp_path), "--architecture", "vgg"]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, ConfigError)
    assert "no architecture 'vgg'" in str(done.exception)
