"""What the commands of the fleet share: its folder, and what follows a change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import err
from ostiary.edge.errors import OstiaryError
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet, chosen_folder

Folder = Annotated[
    Path | None,
    typer.Option("--fleet", help="The fleet's folder; else $OSTIARY_FLEET, else your own."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NoPublish = Annotated[
    bool, typer.Option("--no-publish", help="Change the registry only; `publish` comes later.")
]
Subject = Annotated[str, typer.Argument(help="An opaque id: a-z, 0-9 and -.")]
NOT_DONE = 1


def open_fleet(folder: Path | None) -> Fleet:
    return Fleet.open(chosen_folder(folder))


def checked(subject: str) -> str:
    """A subject as it may be."""
    return check_subject(subject)


@dataclass(frozen=True, slots=True)
class Publishing:
    """What became of a change: `published` where the broker has it. `wanted` as asked for."""

    published: bool
    wanted: bool = True
    problem: str = ""

    @property
    def code(self) -> int:
        """The exit code: a change that should have reached the broker and did not is no success."""
        return NOT_DONE if self.wanted and not self.published else 0


def publish_now(fleet: Fleet, no_publish: bool = False) -> Publishing:
    """Tell the broker what changed. Where that fails the change is kept, and it is said so."""
    registry = fleet.registry()
    if registry.roster.published == registry.roster.sequence:
        return Publishing(published=True, wanted=not no_publish)
    if no_publish:
        return Publishing(published=False, wanted=False)
    from ostiary.fleet.publishing.publish import publish_changes

    try:
        publish_changes(fleet)
    except (OstiaryError, OSError) as error:
        problem = why(error)
        _say_unpublished(problem)
        return Publishing(published=False, problem=problem)
    except KeyboardInterrupt:
        _say_unpublished("interrupted")
        raise
    return Publishing(published=True)


def _say_unpublished(problem: str) -> None:
    warn("not published yet", problem, "the change is kept; `ostiary-fleet publish` tries again")


def forget_photos(fleet: Fleet, subject: str) -> bool:
    """Remove what was kept of somebody. Where that fails it is said so, and what is to be done."""
    try:
        Album(fleet).forget(subject)
    except (OstiaryError, OSError) as error:
        again = "mend that, then run this command again"
        warn(f"photos of {subject} are still kept", why(error), again)
        return False
    return True


def warn(what: str, problem: str, hint: str = "") -> None:
    """Something besides what was asked for went wrong, in one line."""
    advice = f" [dim]({escape(hint)})[/]" if hint else ""
    err.print(f"[bold yellow]{escape(what)}:[/] {escape(problem)}{advice}")


def why(error: OstiaryError | OSError) -> str:
    """An error as a part of a line."""
    return error.message if isinstance(error, OstiaryError) else str(error)
