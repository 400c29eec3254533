"""`ostiary-train finetune`: a bundle's encoder taught to see in a camera's domain."""

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
from ostiary.training.cli.runs import Json, Resume, Seed, Threads, held, refuse, show_next, watching
from ostiary.training.encoders import save
from ostiary.training.judge import evaluation
from ostiary.training.judge.evaluation import RunPhotos
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
    bundle: Annotated[Path, typer.Option(help="The bundle whose encoder is taught.")],
    faces: Annotated[Path, typer.Option(help="A folder with one folder of photos a person.")],
    run: Annotated[Path, typer.Option("--out", help="The run's folder.")],
    domain: Annotated[str, typer.Option(help="What the camera sees like.")] = USUAL.domain,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = USUAL.optimiser.epochs,
    rate: Annotated[
        float, typer.Option(min=1e-9, max=1, help="The highest learning rate.")
    ] = USUAL.optimiser.rate,
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="TAR that photos as they are may lose.")
    ] = USUAL.max_loss,
    seed: Seed = USUAL.seed,
    threads: Threads = 1,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Teach a bundle's encoder a camera's domain without losing what it can do elsewhere.

    The encoder as it is teaches itself: what it sees in a photo as it is, it learns to see in the
    same photo as the camera would show it. No names are needed for that, so one photo a person is
    enough; people with several choose the epoch and judge, each person for one of the three. An
    epoch after which photos as they are lost more than --max-loss of TAR at FMR 1e-3 is not kept.

    The result is another encoder with another id: everybody's templates must be made anew. Exit
    code 1: it is not worth that, or those who judge can not rule out that it lost more, the old one
    stays, and no encoder was written.

    Examples:

    `ostiary-train finetune --bundle bundle --faces faces --domain night --out night`

    `ostiary-export build night/encoder.toml --out bundle-2 --calibrate faces --faces others`, with
    people whom it did not learn from, then `ostiary-fleet reembed --bundle bundle-2`
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
    # Who has one photo can teach, where no name is needed.
    licence, known = fit.begun_with(start)
    found = found_in(faces, loaded, 1, known)
    photos = finetune.parts(settings, found)
    learned = fit.learned_from(known, photos)
    with held(run, raw, ALONE):
        say("judging the encoder as it is")
        lesson = finetune.begin(settings, encoder, loaded.encoder_id, photos, how)
        with watching(run, lesson.steps, ALONE) as watchers:
            outcome = loop.fit(lesson.task, settings, run, lesson.made_with, resume, watchers)
        say("judging what came of it")
        made, after = finetune.end(lesson, outcome.best_epoch, run, licence, learned)
        about = RunPhotos(faces.name, fit.parts_of(photos), found.left_out.counts())
        evaluation.write(run, finetune.evaluations(domain, lesson.before, after), about)
        run_report.write(run)
    if json:
        print_json(made)
    else:
        _show(run, made)
    if made.objections:
        raise typer.Exit(FAILED)


def _show(run: Path, made: Finetuned) -> None:
    table = Table(title="TAR, 95 % over people; photos as they are in both are the guard")
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
        return out.print("no encoder was written: go on with the one there is")
    described = run / save.DESCRIPTION
    out.print(f"encoder {made.begun_with[:12]} became {made.encoder_id[:12]} in epoch {made.epoch}")
    out.print(escape(f"wrote {described} and {run / run_report.REPORT}"))
    out.print("a new encoder knows no template of the old one:")
    show_next(described)
    out.print("then: ostiary-fleet reembed --bundle BUNDLE")
