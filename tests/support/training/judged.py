"""Made-up embeddings, evaluations and a run's folder, for the tests of reports and plots."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ostiary.training.judge import evaluation
from ostiary.training.judge.evaluation import Evaluation, Part, RunPhotos
from ostiary.training.run.log import LOG, EpochLine, Line, StepLine

PERSON = np.repeat(np.array([4, 7, 9, 12, 15, 21, 22, 25, 27, 30]), 3)
SETTINGS = """
seed = 11
encoder = "small-28"
note = "<b>mine</b> & {{ 7 * 7 }}"
[loss]
name = "triplet"
alpha = 0.2
domains = ["door", "night"]
"""
DATA = RunPhotos(
    "my <faces>",
    [Part("training", 1_234, 56_789), Part("judging", 10, 30)],
    {"no face": 3, "near-duplicate <i>": 2},
)


def embeddings(
    spread: float, seed: int = 0, person: np.ndarray = PERSON, dim: int = 16
) -> np.ndarray:
    """Unit-length (n, dim) float32: a person's centre and noise about it."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(int(person.max()) + 1, dim))
    made = centres[person] + spread * rng.normal(size=(len(person), dim))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def untrained(data_set: str = "") -> Evaluation:
    return evaluation.measure("untrained", embeddings(2.0, 1), PERSON, data_set)


def best(data_set: str = "") -> Evaluation:
    return evaluation.measure("best", embeddings(0.5, 2), PERSON, data_set)


def steps(count: int = 6) -> list[StepLine]:
    return [
        StepLine(1 + at // 2, at + 1, 1.0 / (at + 1), 0.9 - 0.8 * at / count, 250.0, 1e-3)
        for at in range(count)
    ]


def epochs() -> list[EpochLine]:
    eers = (0.4, 0.25, 0.1, 0.15)
    return [EpochLine(at, eer, None, eer <= min(eers[: at + 1])) for at, eer in enumerate(eers)]


def write_log(folder: Path, lines: list[Line]) -> None:
    (folder / LOG).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def write_run(folder: Path, evaluations: list[Evaluation], data: RunPhotos | None = DATA) -> Path:
    """Write the files of a run's folder that a report reads."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.toml").write_text(SETTINGS)
    write_log(folder, [*steps(), *epochs()])
    evaluation.write(folder, evaluations, data)
    return folder
