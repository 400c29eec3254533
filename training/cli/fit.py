"""`ostiary-train fit`, `encoders` and `losses`: an encoder learned from a folder of people."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.markup import escape
from rich.progress import Progress

from edge.cli.console import err, out, print_json, progress
from edge.errors import ConfigError
from edge.files import alone, write_atomically
from edge.runtime import bundle as bundles
from training import checkpoint, evaluation, learn, log, loop, report, save
from training import settings as settings_files
from training.cli.faces import found_in
from training.data import Faces
from training.encoders import ARCHITECTURES, Encoder
from training.evaluation import Data, Evaluation
from training.learn import Parts
from training.log import EpochLine, Line, StepLine
from training.loop import Outcome, Watcher
from training.losses import LOSSES
from training.settings import Settings
from training.spread import Team, joined

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in the folder, exactly.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of all chance in it.")]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Of the processor.")]


def register(app: typer.Typer) -> None:
    app.command()(fit)
    app.command("encoders")(list_encoders)
    app.command("losses")(list_losses)


def list_encoders(json: Json = False) -> None:
    """List the encoders that can be trained from nothing, as `[encoder] architecture`.

    Example: `ostiary-train encoders`
    """
    if json:
        return print_json({name: one.says for name, one in ARCHITECTURES.items()})
    for name, one in ARCHITECTURES.items():
        out.print(f"[bold]{name}[/]  {escape(one.says)}")


def list_losses(json: Json = False) -> None:
    """List the losses, as `[loss] name`, with the alpha each has where none is given.

    Example: `ostiary-train losses`
    """
    if json:
        return print_json({n: {"says": k.says, "alpha": k.alpha} for n, k in LOSSES.items()})
    for name, kind in LOSSES.items():
        out.print(f"[bold]{name}[/]  {escape(kind.says)}  [dim]{kind.alpha:g}[/]")


def fit(
    settings: Annotated[Path, typer.Argument(help="The run's settings, a .toml file.")],
    faces: Annotated[Path, typer.Option(help="A folder with one folder of photos a person.")],
    bundle: Annotated[Path, typer.Option(help="Finds and aligns the faces, as a door would.")],
    run: Annotated[Path, typer.Option("--out", help="The run's folder.")],
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Train an encoder on people, and judge it on others it never saw.

    Some people are kept apart to choose the best epoch, and others to judge what came out. The
    folder then holds encoder.onnx, encoder.toml for `ostiary-export build`, a log, checkpoints,
    TensorBoard's logs and report.html. Killed, it goes on with --resume to the very same weights.

    Examples:

    `ostiary-train fit settings.toml --faces faces --bundle bundle --out run`

    `torchrun --nproc-per-node 2 -m training fit settings.toml --faces faces --bundle bundle
    --out run`, which trains in two processes

    with `settings.toml` such as

    ```toml
    seed = 1
    threads = 2                   # of each process

    [encoder]
    architecture = "facenet-128"  # or bundle = "PATH": go on with its encoder

    [loss]
    name = "triplet"
    alpha = 0.2
    mining = "semi-hard"          # random, semi-hard or hardest

    [batches]
    people = 10
    images = 4

    [optimiser]
    rate = 1e-3
    schedule = "cosine"           # or constant
    warm_up = 0.5                 # epochs
    epochs = 30

    [stop]
    patience = 8                  # epochs without a better one

    [augment]
    domain = "door"
    ```

    Only `[encoder]` is needed.
    """
    with joined() as team:
        chosen, raw, encoder = team.together(lambda: _begun(settings))
        team.told(lambda: refuse(run, resume, raw))
        found, photos = team.together(lambda: _photos(faces, bundle, chosen))
        begun = "untrained" if chosen.encoder.bundle is None else "before"
        task = learn.task_of(chosen, encoder, photos, team)
        # What was gained is counted from the encoder as centred, which is no learning.
        before = team.told(lambda: learn.worth(begun, encoder, photos.judging))
        made_with = learn.made_with(chosen, encoder, photos, team)
        steps = chosen.optimiser.epochs * len(task.batches(1))
        with held(run, raw, team), watching(run, steps, team) as watchers:
            outcome = loop.fit(task, chosen, run, made_with, resume, watchers, team)
            if not team.first:
                return
            after = learn.worth("best", encoder, photos.judging)
            learned = learn.learned_from(chosen.encoder, photos)
            save.write(encoder, run, learn.licence_of(chosen.encoder), learned)
            about = Data(faces.name, learn.parts_of(photos), found.left_out.counts())
            evaluation.write(run, [before, after], about)
            report.write(run)
    _show(run, outcome, before, after, json)


def _begun(path: Path) -> tuple[Settings, bytes, Encoder]:
    """The settings, as they stand in their file too, and the encoder that they begin with."""
    raw = settings_files.raw(path)
    chosen = settings_files.parse_settings(raw, path)
    torch.set_num_threads(chosen.threads)
    encoder = learn.encoder_of(chosen.encoder, chosen.seed)
    learn.check(chosen, encoder)
    return chosen, raw, encoder


def _photos(faces: Path, bundle: Path, chosen: Settings) -> tuple[Faces, Parts]:
    found = found_in(faces, bundles.read(bundle))
    return found, learn.in_parts(found, chosen.data, chosen.seed)


def refuse(run: Path, resume: bool, settings: bytes) -> None:
    """Before any face is looked for: that takes minutes."""
    if resume and not _is_run(run, settings):
        raise ConfigError(f"there is no run {run} to resume", "leave --resume out to begin it")
    if not resume and run.exists() and not _is_left_behind(run):
        raise ConfigError(f"{run} is there already", "--resume goes on with it, or name another")
    _refuse_others(run, settings)
    if str(run) != str(run).encode(errors="replace").decode():
        raise ConfigError(f"{run} is not UTF-8, which TensorBoard asks for", "name another folder")
    above = next(folder for folder in (run, *run.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing can be written in {above}", "name another folder")


def _is_left_behind(run: Path) -> bool:
    """Whether no more than the settings is there: of a run that was refused before it began."""
    return run.is_dir() and {path.name for path in run.iterdir()} <= {report.SETTINGS}


def _is_run(run: Path, settings: bytes) -> bool:
    """Whether there is anything that a command with these settings left there."""
    return checkpoint.begun(run) or (run / log.LOG).exists() or _settings_in(run) == settings


def _refuse_others(run: Path, settings: bytes) -> None:
    """A file that its user wrote, or of another run, stays as it is.

    What a checkpoint was made with is compared when it is read.
    """
    if not checkpoint.begun(run) and _settings_in(run) not in (None, settings):
        raise ConfigError(
            f"{run / report.SETTINGS} holds other settings than this run's",
            "name another folder, or remove that file if nobody needs it",
        )


def _settings_in(run: Path) -> bytes | None:
    path = run / report.SETTINGS
    return path.read_bytes() if path.exists() else None


@contextmanager
def held(run: Path, settings: bytes, team: Team) -> Iterator[None]:
    """The run's folder with its settings, for one command alone."""
    with ExitStack() as stack:
        team.told(lambda: stack.enter_context(_taken(run, settings)))
        yield


@contextmanager
def _taken(run: Path, settings: bytes) -> Iterator[None]:
    run.mkdir(parents=True, exist_ok=True)
    with alone(run, ConfigError(f"another command is at work in {run}", "wait for it to end")):
        # A run under way keeps its own: others are refused.
        if not checkpoint.begun(run):
            # Since `refuse` looked somebody may have been there.
            _refuse_others(run, settings)
            write_atomically(run / report.SETTINGS, settings)
        yield


@contextmanager
def watching(run: Path, steps: int, team: Team) -> Iterator[list[Watcher]]:
    """Who is told of each step: TensorBoard's logs, and whoever reads standard error."""
    if not team.first:
        yield []
        return
    from training.board import Board

    bar, _ = progress("training")
    with bar, Board(run) as board:
        yield [board.line, Teller(bar, steps).line]


class Teller:
    """Each step on a bar with its rate, each epoch in a line."""

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


def _show(run: Path, outcome: Outcome, before: Evaluation, after: Evaluation, json: bool) -> None:
    described = run / save.DESCRIPTION
    if json:
        rates = {"before": before.eer, "after": after.eer}
        return print_json({"outcome": outcome, **rates, "encoder": str(described)})
    out.print(
        f"{outcome.epochs} epochs, {outcome.steps} steps; epoch {outcome.best_epoch} is the best"
    )
    for name, rate in ((before.name, before.eer), (after.name, after.eer)):
        out.print(f"EER {name:9}  {rate.value:.4f}  {rate.low:.4f} to {rate.high:.4f}")
    out.print(escape(f"wrote {described} and {run / report.REPORT}"))
    show_next(described)


def show_next(described: Path) -> None:
    """How an encoder becomes a bundle; who it learned from judges nothing there."""
    out.print(
        escape(
            f"next: ostiary-export build {described} --out BUNDLE --calibrate FACES --faces OTHERS"
        )
    )
