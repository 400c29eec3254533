"""Shared parts of the training commands: options, the run's folder, and progress output."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.progress import Progress

from ostiary.edge.cli.console import err, out, progress
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import alone, write_atomically
from ostiary.training.report import run_report
from ostiary.training.run import checkpoint, log
from ostiary.training.run.distributed import Team
from ostiary.training.run.log import EpochLine, Line, StepLine
from ostiary.training.run.loop import Watcher

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the interrupted run in the folder.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed of the whole run.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Number of processor threads.")]


def refuse(run: Path, resume: bool, settings: bytes) -> None:
    """Raise ConfigError if the run cannot use its folder, before minutes are spent on faces."""
    if resume and not _is_run(run, settings):
        raise ConfigError(f"there is no run {run} to resume", "leave out --resume to begin it")
    if not resume and run.exists() and not _is_left_behind(run):
        raise ConfigError(f"{run} already exists", "--resume continues it, or name another folder")
    _refuse_others(run, settings)
    if str(run) != str(run).encode(errors="replace").decode():
        raise ConfigError(
            f"the name of {run} is not UTF-8, which TensorBoard needs", "name another folder"
        )
    above = next(folder for folder in (run, *run.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write to {above}", "name another folder")


def _is_left_behind(run: Path) -> bool:
    """True if the folder holds only the settings of a run that was refused before it began."""
    return run.is_dir() and {path.name for path in run.iterdir()} <= {run_report.SETTINGS}


def _is_run(run: Path, settings: bytes) -> bool:
    """True if the folder holds a checkpoint, a log, or these very settings."""
    return checkpoint.begun(run) or (run / log.LOG).exists() or _settings_in(run) == settings


def _refuse_others(run: Path, settings: bytes) -> None:
    """Raise ConfigError if another run, or the user, wrote other settings into the folder.

    If there is a checkpoint, its settings are compared when it is read.
    """
    if not checkpoint.begun(run) and _settings_in(run) not in (None, settings):
        raise ConfigError(
            f"{run / run_report.SETTINGS} holds other settings than this run's",
            "name another folder, or remove that file if it is not needed",
        )


def _settings_in(run: Path) -> bytes | None:
    path = run / run_report.SETTINGS
    return path.read_bytes() if path.exists() else None


@contextmanager
def held(run: Path, settings: bytes, team: Team) -> Iterator[None]:
    """Lock the run's folder for this command and keep the settings in it."""
    with ExitStack() as stack:
        team.told(lambda: stack.enter_context(_taken(run, settings)))
        yield


@contextmanager
def _taken(run: Path, settings: bytes) -> Iterator[None]:
    run.mkdir(parents=True, exist_ok=True)
    with alone(run, ConfigError(f"another command is using {run}", "wait until it ends")):
        found = _settings_in(run)
        # A run with a checkpoint keeps its settings file; the loop refuses other settings.
        if not checkpoint.begun(run):
            # Another command may have written here since `refuse` looked.
            _refuse_others(run, settings)
            write_atomically(run / run_report.SETTINGS, settings)
        try:
            yield
        finally:
            # If the run never began, remove its settings: otherwise `refuse` would reject all other
            # runs.
            if found is None and _is_left_behind(run):
                (run / run_report.SETTINGS).unlink(missing_ok=True)


@contextmanager
def watching(run: Path, steps: int, team: Team) -> Iterator[list[Watcher]]:
    """The watchers of a run of `steps` steps: TensorBoard's logs, and a bar on standard error."""
    if not team.first:
        yield []
        return
    from ostiary.training.run.tensorboard import Board

    bar, _ = progress("training")
    with bar, Board(run) as board:
        yield [board.line, Teller(bar, steps).line]


class Teller:
    """Shows each step on a progress bar with its speed, and prints a line per epoch."""

    def __init__(self, bar: Progress, steps: int) -> None:
        self._bar, self._steps = bar, steps
        self._losses: list[float] = []
        self._began = time.monotonic()

    def line(self, line: Line) -> None:
        if isinstance(line, StepLine):
            self._losses.append(line.loss)
            says = f"epoch {line.epoch}: loss {line.loss:.4f}, {line.images_s:.0f} images/s"
            task = self._bar.task_ids[0]
            self._bar.update(task, description=says, completed=line.step, total=self._steps)
        else:
            err.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {self._epoch(line)}")
            self._losses = []

    def _epoch(self, line: EpochLine) -> str:
        loss = f"loss {np.mean(self._losses):.4f}, " if self._losses else ""
        tar = "" if line.tar is None else f", TAR {line.tar:.4f}"
        guard = "" if line.guard is None else f", guard's TAR {line.guard:.4f}"
        best = " [green]best[/]" if line.best else ""
        return f"epoch {line.epoch}: {loss}EER {line.eer:.4f}{tar}{guard}{best}"


def show_warnings(warnings: Sequence[str]) -> None:
    """Print what the encoder's bundle and the door will say of its training."""
    for warning in warnings:
        out.print(f"[bold yellow]warning:[/] {escape(warning)}")


def show_next(described: Path) -> None:
    """Print the command that builds a bundle from an encoder.

    It names a folder OTHERS, for faces of people who took no part in training.
    """
    out.print(
        escape(
            f"next: ostiary-export build {described} --out BUNDLE --calibrate FACES --faces OTHERS"
        )
    )
