"""Shared parts of the fleet's commands: options, the folder, warnings and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import err
from ostiary.fleet.desk.delivery import Delivery, Notice, Publish
from ostiary.fleet.publishing import publish as publishing
from ostiary.fleet.site.fleet import Fleet, chosen_folder

Folder = Annotated[
    Path | None,
    typer.Option(
        "--fleet",
        help="The fleet's folder. Default: $OSTIARY_FLEET, else ~/.local/share/ostiary/fleet.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
NoPublish = Annotated[
    bool,
    typer.Option(
        "--no-publish", help="Change the registry only; run `ostiary-fleet publish` later."
    ),
]
ID = "1 to 64 of a-z, 0-9 and -"
Subject = Annotated[str, typer.Argument(help=f"The person's subject id: {ID}.")]
Device = Annotated[str, typer.Argument(help=f"The device's id: {ID}.")]
Name = Annotated[
    str | None,
    typer.Option("--name", help="The person's name, for operators only; never published."),
]
Groups = Annotated[
    str | None,
    typer.Option("--groups", help="The person's groups, separated by commas: staff,cleaners."),
]
From = Annotated[str | None, typer.Option("--from", help="The first day of access: 2026-12-01.")]
Until = Annotated[
    str | None,
    typer.Option("--until", help="The last day of access, or its end: 2026-12-31T18:00."),
]
Hours = Annotated[
    str | None,
    typer.Option("--schedule", help='The hours of access: "mon-fri 08:00-18:00, sat 09:00-12:00".'),
]
Learns = Annotated[
    bool | None,
    typer.Option(
        "--learns/--no-learns",
        help="Record whether the person consents that doors learn their face from sure grants.",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Allow enrolling a revoked subject.")]
ForceLookAlike = Annotated[
    bool,
    typer.Option(
        "--force-look-alike", help="Enroll even if the person looks like somebody enrolled."
    ),
]
NOT_DONE = 1


def open_fleet(folder: Path | None) -> Fleet:
    """The fleet in the folder that `--fleet` names, or in the default one."""
    return Fleet.open(chosen_folder(folder))


def publisher(no_publish: bool) -> Publish | None:
    """The function that brings a change to the broker; None if `--no-publish` was given."""
    return None if no_publish else publishing.publish_changes


def code(delivery: Delivery) -> int:
    """The exit code after a change: not 0 if it did not reach the broker but should have."""
    return NOT_DONE if delivery.failed else 0


def say(notice: Notice) -> None:
    """Print a problem that did not stop the change."""
    warn(notice.what, notice.problem, notice.hint)


def warn(what: str, problem: str, hint: str = "") -> None:
    """Print a warning in one line."""
    advice = f" [dim]({escape(hint)})[/]" if hint else ""
    err.print(f"[bold yellow]{escape(what)}:[/] {escape(problem)}{advice}")
