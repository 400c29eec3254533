"""`ostiary-train finetune`: fine-tunes a bundle's encoder for a camera condition."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.runtime import bundle as bundles
from ostiary.training.cli.faces import found_in, say
from ostiary.training.cli.runs import (
    Json,
    Resume,
    Seed,
    Threads,
    held,
    refuse,
    show_next,
    show_warnings,
    watching,
)
from ostiary.training.encoders import save
from ostiary.training.judge import evaluation
from ostiary.training.judge import outcome as worth
from ostiary.training.judge.evaluation import Evaluation, RunPhotos
from ostiary.training.judge.guard import ViewPairing
from ostiary.training.report import run_report
from ostiary.training.run import loop
from ostiary.training.run.distributed import ALONE
from ostiary.training.run.settings import EncoderStart
from ostiary.training.tasks import finetune, fit
from ostiary.training.tasks.finetune import Finetuned, Finetuning

FAILED = 1
TITLES: dict[ViewPairing, str] = {
    "domain_domain": "{0} / {0}",
    "plain_domain": "as is / {0}",
    "plain_plain": "as is / as is",
}
USUAL = Finetuning()


def register(app: typer.Typer) -> None:
    app.command("finetune")(tune)


def tune(
    bundle: Annotated[Path, typer.Option(help="Bundle whose encoder is fine-tuned.")],
    faces: Annotated[Path, typer.Option(help="Folder with one folder of photos per person.")],
    run: Annotated[Path, typer.Option("--out", help="Folder to write the run to.")],
    domain: Annotated[
        str, typer.Option(help="Camera condition to simulate, e.g. night.")
    ] = USUAL.domain,
    epochs: Annotated[
        int, typer.Option(min=1, help="Greatest number of epochs.")
    ] = USUAL.optimiser.epochs,
    rate: Annotated[
        float, typer.Option(min=1e-9, max=1, help="Highest learning rate.")
    ] = USUAL.optimiser.rate,
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="TAR that unchanged photos may lose, 0 to 1.")
    ] = USUAL.max_loss,
    seed: Seed = USUAL.seed,
    threads: Threads = 1,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Fine-tune a bundle's encoder for a camera condition without losing accuracy elsewhere.

    The encoder teaches itself: it sees a photo as the camera would show it, and learns to give it
    the embedding of the unchanged photo. That needs no names, so one photo per person is enough.
    People with several photos are split: some train, some choose the best epoch, some evaluate the
    result. An epoch that loses more than --max-loss of TAR at FMR 1e-3 on unchanged photos is not
    kept.

    The result is a new encoder with a new id: all templates must be made again. Exit code 1: the
    gain is not worth that, or a greater loss than allowed cannot be ruled out; no encoder was
    written, and the old one stays in use.

    Examples:

    `ostiary-train finetune --bundle bundle --faces faces --domain night --out night`

    `ostiary-export build night/encoder.toml --out bundle-2 --calibrate faces --faces others`, then
    `ostiary-fleet reembed --bundle bundle-2`; `others` holds people who took no part in training
    """
    settings = Finetuning(
        seed=seed,
        domain=domain,
        max_loss=max_loss,
        optimiser=msgspec.structs.replace(USUAL.optimiser, epochs=epochs, rate=rate),
        threads=threads,
    )
    how = finetune.domain_of(domain)
    torch.set_num_threads(threads)
    raw = msgspec.toml.encode(settings)
    refuse(run, resume, raw)
    loaded, start = bundles.read(bundle), EncoderStart(bundle=bundle)
    encoder = fit.encoder_of(start, seed)
    # Keep people with one photo too: fine-tuning needs no names.
    licence, known = fit.begun_with(start)
    found = found_in(faces, loaded, 1, known)
    photos = finetune.parts(settings, found)
    learned = fit.learned_from(known, photos)
    with held(run, raw, ALONE):
        say("evaluating the encoder before training")
        lesson = finetune.begin(settings, encoder, loaded.encoder_id, photos, how)
        with watching(run, lesson.steps, ALONE) as watchers:
            outcome = loop.fit(lesson.task, settings, run, lesson.made_with, resume, watchers)
        say("evaluating the fine-tuned encoder")
        made, told = finetune.end(lesson, outcome.best_epoch, run, licence, learned)
        about = RunPhotos(faces.name, fit.parts_of(photos), found.left_out.counts())
        evaluation.write(run, told, about)
        run_report.write(run)
    if json:
        print_json(made)
    else:
        _show(run, made, told)
    if made.objections:
        raise typer.Exit(FAILED)


def _show(run: Path, made: Finetuned, told: list[Evaluation]) -> None:
    table = Table(title="TAR with 95 % intervals over people; as is / as is must not get worse")
    for title in ("template / probe", "FMR", "before", "after", "gained"):
        table.add_column(title, justify="right", no_wrap=True)
    for change in made.changes:
        title = escape(TITLES[change.comparison].format(made.domain))
        rates = (
            f"{r.value:.4f}  {r.low:.4f} to {r.high:.4f}" for r in (change.before, change.after)
        )
        gain = change.gain
        gained = f"{gain.value:+.4f}  {gain.low:+.4f} to {gain.high:+.4f}"
        table.add_row(title, f"{change.fmr:.0e}", *rates, gained)
    out.print(table)
    for objection in made.objections:
        out.print(f"[bold red]{escape(objection)}[/]")
    if made.encoder_id is None:
        return out.print("no encoder was written: keep the one in use")
    described = run / save.DESCRIPTION
    show_warnings(worth.warnings(told))
    out.print(f"encoder {made.begun_with[:12]} became {made.encoder_id[:12]} in epoch {made.epoch}")
    out.print(escape(f"wrote {described} and {run / run_report.REPORT}"))
    out.print("templates of the old encoder are not valid for the new one:")
    show_next(described)
    out.print("then: ostiary-fleet reembed --bundle BUNDLE")
