"""report.html: one self-contained page about a training run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.errors import ConfigError
from ostiary.edge.files import write_atomically
from ostiary.export.report import page
from ostiary.export.report.charts import Chart
from ostiary.training.judge import evaluation, outcome
from ostiary.training.judge.bootstrap import LEAST_PEOPLE
from ostiary.training.judge.evaluation import Evaluation
from ostiary.training.report import plots
from ostiary.training.run import log
from ostiary.training.run.log import EpochLine, StepLine

REPORT, SETTINGS = "report.html", "settings.toml"


def write(folder: Path) -> Path:
    """Write the report of a run's folder; returns its path.

    The report shows no photos: reports are passed on, faces are personal data, and the people
    agreed only to training. Raises ConfigError or StoreError if the folder is not a run's, or one
    of its files is damaged.
    """
    path = folder / REPORT
    # The folder's own name need not be UTF-8.
    write_atomically(path, render(folder).encode("utf-8", "backslashreplace"))
    return path


def render(folder: Path) -> str:
    """The page as HTML; equal files give equal pages."""
    settings = list(_flat(_settings(folder)))
    lines = log.read(folder)
    steps = [line for line in lines if isinstance(line, StepLine)]
    epochs = [line for line in lines if isinstance(line, EpochLine)]
    held = evaluation.read(folder)
    found = outcome.outcomes(held)
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
            f"cannot read {path}: {error.strerror}", "give the folder of a training run"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "correct the file, or train again") from error


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, value as text) of each setting."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{above}{name}", words
