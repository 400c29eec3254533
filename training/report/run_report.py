"""report.html: one page on a training run, with nothing outside of it needed to read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import write_atomically
from ostiary.export.report import page
from ostiary.export.report.charts import Chart
from ostiary.training.judge import evaluation
from ostiary.training.judge.bootstrap import LEAST_PEOPLE
from ostiary.training.judge.evaluation import Evaluation, Evaluations
from ostiary.training.report import plots
from ostiary.training.run import log
from ostiary.training.run.log import EpochLine, StepLine

REPORT, SETTINGS = "report.html", "settings.toml"


class DataSetOutcome(msgspec.Struct, frozen=True):
    """What training did on one data set: the first encoder beside the last."""

    data_set: str
    before: Evaluation
    after: Evaluation
    fall: Rate | None
    """Of the EER; None where there is one encoder, or two on different photos."""

    @property
    def word(self) -> str:
        """A better encoder is one whose whole interval says so."""
        if self.fall is None:
            return "measured"
        return "better" if self.fall.low > 0 else "worse" if self.fall.high < 0 else "unproven"


def outcomes(held: Evaluations) -> list[DataSetOutcome]:
    """One a data set, in their order."""
    return [
        DataSetOutcome(
            name, some[0], some[-1], evaluation.fall(some[0], some[-1]) if len(some) > 1 else None
        )
        for name, some in held.data_sets().items()
    ]


def write(folder: Path) -> Path:
    """Draw the report of a run's folder anew; returns its path.

    It shows no photos: a face is personal data, a report is passed on, and who was photographed
    agreed to training and not to that. Raises ConfigError or StoreError where the folder is not a
    run's, or a file of it is damaged.
    """
    path = folder / REPORT
    # The folder's own name need not be UTF-8.
    write_atomically(path, render(folder).encode("utf-8", "backslashreplace"))
    return path


def render(folder: Path) -> str:
    """The page; the same for the same files."""
    settings = list(_flat(_settings(folder)))
    lines = log.read(folder)
    steps = [line for line in lines if isinstance(line, StepLine)]
    epochs = [line for line in lines if isinstance(line, EpochLine)]
    held = evaluation.read(folder)
    found = outcomes(held)
    return page.template("ostiary.training", "run.html.j2").render(
        name=folder.resolve().name,
        settings=settings,
        data=held.data,
        sets=held.data_sets(),
        outcomes=found,
        least_people=LEAST_PEOPLE,
        steps=len(steps),
        epochs=max((line.epoch for line in epochs), default=0),
        best=plots.best(epochs),
        images_s=float(np.median([line.images_s for line in steps])) if steps else None,
        dets={name: plots.det(some) for name, some in held.data_sets().items()},
        maps=[(one, _map(one)) for one in held.evaluations],
        loss=plots.loss(steps) if steps else None,
        active=plots.active(steps) if steps else None,
        eer=plots.eer(epochs) if epochs else None,
        tar=plots.tar(epochs) if epochs else None,
        worst=found[0].after.worst if found else [],
    )


def _map(one: Evaluation) -> Chart:
    return plots.embeddings(" ".join(("Embeddings,", one.name, one.data_set)).strip(), one.plane)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ConfigError(
            f"can not read {path}: {error.strerror}", "give the folder of a run that `fit` made"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "mend the file, or train again") from error


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value in words) of each setting."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{above}{name}", words
