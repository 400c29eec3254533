"""`ostiary-train compare`: finds the loss and the triplets that suit a folder of faces best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.runtime import bundle as bundles
from ostiary.training.cli.faces import found_in
from ostiary.training.encoders import architectures
from ostiary.training.tasks import compare as comparing
from ostiary.training.tasks.compare import FIRST_SEED, Comparison, Contest

SEEDS, UNSEEN, EPOCHS, PROCESSES = 5, 10, 30, 2


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    faces: Annotated[Path, typer.Argument(help="Folder with one folder of photos per person.")],
    bundle: Annotated[Path, typer.Option(help="Bundle that finds and aligns the faces.")],
    architecture: Annotated[
        str, typer.Option(help="Encoder to train; `ostiary-train encoders` lists them.")
    ] = "facenet-128",
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Number of trainings of each loss.")
    ] = SEEDS,
    unseen: Annotated[
        int, typer.Option(min=2, help="Number of people to evaluate on, left out of training.")
    ] = UNSEEN,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of each training.")] = EPOCHS,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Number of trainings to run at once.")
    ] = PROCESSES,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a new encoder with each loss and compare the EERs on people it never saw.

    Each seed sets other people aside and begins with other weights; names that share a photo may
    be one person, and are never set aside. Every loss has the same batches, optimiser and number
    of epochs, and the encoder of its last epoch is evaluated.

    Examples:

    `ostiary-train compare faces --bundle bundle`

    `ostiary-train compare faces --bundle bundle --architecture small-28 --epochs 60 --json`
    """
    # Refuse an unknown name before spending minutes on finding faces.
    architectures.build(architecture, FIRST_SEED)
    contest = Contest(found_in(faces, bundles.read(bundle)), architecture, unseen, epochs)
    bar, done = progress("trainings")
    with bar:
        drawn = range(FIRST_SEED, FIRST_SEED + seeds)
        made = comparing.compare(contest, drawn, processes, done)
    if json:
        return print_json({"comparison": made, "findings": made.findings()})
    _show(made)


def _show(made: Comparison) -> None:
    table = Table(
        title=f"EER on {made.unseen} people never seen, out of {made.people + made.unseen} people"
        f" with {made.images} photos; {made.architecture}, {made.epochs} epochs"
    )
    table.add_column("loss")
    for name in ("mean", "spread", "least", "most"):
        table.add_column(name, justify="right")
    for row in made.rows:
        figures = (row.mean, row.spread, min(row.eers), max(row.eers))
        table.add_row(row.name, *(f"{value:.4f}" for value in figures))
    out.print(table)
    for holds, says in made.findings():
        out.print(f"[green]holds[/]: {says}" if holds else f"[yellow]does not hold[/]: {says}")
