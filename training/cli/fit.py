"""`ostiary-train fit`, `encoders` and `losses`: train an encoder on a folder of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.runtime import bundle as bundles
from ostiary.training.cli.faces import found_in
from ostiary.training.cli.runs import Json, Resume, held, refuse, show_next, show_warnings, watching
from ostiary.training.data.photos import Faces
from ostiary.training.encoders import save
from ostiary.training.encoders.architectures import ARCHITECTURES, Encoder
from ostiary.training.judge import evaluation
from ostiary.training.judge import outcome as worth
from ostiary.training.judge.evaluation import Evaluation, RunPhotos
from ostiary.training.losses.by_name import LOSSES
from ostiary.training.report import run_report
from ostiary.training.run import loop
from ostiary.training.run import settings as settings_files
from ostiary.training.run.distributed import joined
from ostiary.training.run.loop import RunOutcome
from ostiary.training.run.settings import FitSettings
from ostiary.training.tasks import fit as learn
from ostiary.training.tasks.fit import Parts


def register(app: typer.Typer) -> None:
    app.command()(fit)
    app.command("encoders")(list_encoders)
    app.command("losses")(list_losses)


def list_encoders(json: Json = False) -> None:
    """List the encoders that can be trained from scratch: names for `[encoder] architecture`.

    Example: `ostiary-train encoders`
    """
    if json:
        return print_json({name: one.says for name, one in ARCHITECTURES.items()})
    for name, one in ARCHITECTURES.items():
        out.print(f"[bold]{name}[/]  {escape(one.says)}")


def list_losses(json: Json = False) -> None:
    """List the losses, names for `[loss] name`, each with its default alpha.

    Example: `ostiary-train losses`
    """
    if json:
        return print_json({n: {"says": k.says, "alpha": k.alpha} for n, k in LOSSES.items()})
    for name, kind in LOSSES.items():
        out.print(f"[bold]{name}[/]  {escape(kind.says)}  [dim]{kind.alpha:g}[/]")


def fit(
    settings: Annotated[Path, typer.Argument(help="Settings of the run, a .toml file.")],
    faces: Annotated[Path, typer.Option(help="Folder with one folder of photos per person.")],
    bundle: Annotated[Path, typer.Option(help="Bundle that finds and aligns the faces.")],
    run: Annotated[Path, typer.Option("--out", help="Folder to write the run to.")],
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Train an encoder on a folder of people, and evaluate it on people it never saw.

    Some people are set aside to choose the best epoch, and others to evaluate the result. The
    run's folder then holds encoder.onnx, encoder.toml for `ostiary-export build`, a log,
    checkpoints, TensorBoard's logs and report.html. A run that was killed continues with --resume
    and ends with exactly the same weights. If it is not proven that training made the encoder
    better, encoder.toml says so, and with it the bundle, and a door at every start.

    Examples:

    `ostiary-train fit settings.toml --faces faces --bundle bundle --out run`

    `torchrun --nproc-per-node 2 -m ostiary.training fit settings.toml --faces faces --bundle bundle
    --out run` trains in two processes.

    An example of `settings.toml`:

    ```toml
    seed = 1
    threads = 2                   # per process

    [encoder]
    architecture = "facenet-128"  # or bundle = "PATH" to start from its encoder

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
    patience = 8                  # stop after this many epochs without a better one

    [augment]
    domain = "door"
    ```

    Only `[encoder]` is required.
    """
    with joined() as team:
        chosen, raw, encoder = team.together(lambda: _begun(settings))
        team.told(lambda: refuse(run, resume, raw))
        # Read everything from the starting bundle now: hours later its files may have changed.
        licence, known = team.together(lambda: learn.begun_with(chosen.encoder))
        found, photos = team.together(lambda: _photos(faces, bundle, chosen, known))
        begun = "untrained" if chosen.encoder.bundle is None else "before"
        task = learn.task_of(chosen, encoder, photos, team)
        # Evaluate after centring, so that the gain counts training alone.
        before = team.told(lambda: learn.worth(begun, encoder, photos.judging))
        made_with = learn.made_with(chosen, encoder, photos, known, team)
        steps = chosen.optimiser.epochs * len(task.batches(1))
        with held(run, raw, team), watching(run, steps, team) as watchers:
            outcome = loop.fit(task, chosen, run, made_with, resume, watchers, team)
            if not team.first:
                return
            after = learn.worth("best", encoder, photos.judging)
            warnings = worth.warnings([before, after])
            save.write(encoder, run, licence, learn.learned_from(known, photos), warnings)
            about = RunPhotos(faces.name, learn.parts_of(photos), found.left_out.counts())
            evaluation.write(run, [before, after], about)
            run_report.write(run)
    _show(run, outcome, [before, after], warnings, json)


def _begun(path: Path) -> tuple[FitSettings, bytes, Encoder]:
    """(settings, the bytes of their file, the encoder that training starts from)."""
    raw = settings_files.raw(path)
    chosen = settings_files.parse_settings(raw, path)
    torch.set_num_threads(chosen.threads)
    encoder = learn.encoder_of(chosen.encoder, chosen.seed)
    learn.check(chosen, encoder)
    return chosen, raw, encoder


def _photos(
    faces: Path, bundle: Path, chosen: FitSettings, known: list[str]
) -> tuple[Faces, Parts]:
    found = found_in(faces, bundles.read(bundle), learned=known)
    return found, learn.in_parts(found, chosen.data, chosen.seed)


def _show(
    run: Path, outcome: RunOutcome, judged: list[Evaluation], warnings: list[str], json: bool
) -> None:
    described = run / save.DESCRIPTION
    before, after = judged
    if json:
        told = {"before": before.eer, "after": after.eer, "warnings": warnings}
        return print_json({"outcome": outcome, **told, "encoder": str(described)})
    out.print(
        f"{outcome.epochs} epochs, {outcome.steps} steps; epoch {outcome.best_epoch} is the best"
    )
    for name, rate in ((before.name, before.eer), (after.name, after.eer)):
        out.print(f"EER {name:9}  {rate.value:.4f}  {rate.low:.4f} to {rate.high:.4f}")
    show_warnings(warnings)
    out.print(escape(f"wrote {described} and {run / run_report.REPORT}"))
    show_next(described)
