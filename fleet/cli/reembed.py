"""`ostiary-fleet reembed`: make templates for a new encoder, so that doors can change over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.runtime import bundle as bundles
from ostiary.fleet.cli.common import (
    NOT_DONE,
    Folder,
    Json,
    NoPublish,
    open_fleet,
    publisher,
    say,
)
from ostiary.fleet.desk import reembed as reembedding
from ostiary.fleet.desk.reembed import Reembedded

SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command()(reembed)


def reembed(
    bundle: Annotated[Path, typer.Option("--bundle", help="The folder of the new bundle.")],
    fleet: Folder = None,
    retire_old: Annotated[
        str | None,
        typer.Option(
            "--retire-old",
            metavar="ENCODER",
            help="Afterwards remove the templates of this encoder (its id or first digits). Refused"
            " until every device has changed over.",
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="The backend that runs the models: auto, openvino or onnxruntime."),
    ] = "auto",
    no_publish: NoPublish = False,
    json: Json = False,
) -> None:
    """Make templates for the encoder of a new bundle, from the kept photos of everybody.

    Run it again at any time: people who already have a template are skipped. Devices that have the
    bundle as `next` change over once everybody they know has one. Exit code 0: everybody has one,
    1: some have none, listed with the reason, 2: bad input.

    Example: `ostiary-fleet reembed --bundle bundle-2`, and later
    `ostiary-fleet reembed --bundle bundle-2 --retire-old 3f9ac1d2`
    """
    bar, move = progress("embedding")

    def tell(step: str, done: int, total: int) -> None:
        bar.update(bar.task_ids[0], description=step)
        move(done, total)

    with open_fleet(fleet) as home, bar:
        new = bundles.load(bundle)
        publish = publisher(no_publish)
        done = reembedding.reembed(home, new, retire_old, tell, say, publish, backend)
    report = done.report
    if json:
        found = {"retired": done.removed, "complete": report.complete}
        print_json({"report": report, **found, "published": done.published})
    else:
        _show(done)
    raise typer.Exit(NOT_DONE if done.failed or not report.complete else 0)


def _show(done: Reembedded) -> None:
    report = done.report
    colour = "green" if report.complete else "yellow"
    out.print(
        f"[{colour}]{report.covered} of {report.people}[/] people have a template of encoder"
        f" {report.encoder[:12]}; {report.added} are new"
    )
    if done.retired is not None:
        out.print(f"removed {done.removed} templates of encoder {done.retired[:12]}")
    if report.without_photos:
        err.print(f"{len(report.without_photos)} people have no kept photos; enroll them again:")
        _list(list(report.without_photos))
    if report.refused:
        err.print(f"{len(report.refused)} people were refused:")
        _list([f"{subject}: {why}" for subject, why in report.refused.items()])
    if done.enrolling != report.encoder:
        enrolling = (done.enrolling or "a bundle that cannot be read")[:28]
        err.print(
            escape(f"fleet.toml still enrolls with {enrolling}: name the new bundle there")
            + " once the doors have changed over; until then run this again after each enrollment"
        )


def _list(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        err.print(escape(f"  {line}"))
    if len(lines) > SHOWN:
        err.print(f"  and {len(lines) - SHOWN} more (--json lists all)")
