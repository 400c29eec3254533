"""`ostiary unlearn`: takes back what templates learned from grants."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ostiary.edge.adapters.storage.roster_store import LearnedRow, RosterStore
from ostiary.edge.adapters.storage.state_dir import ROSTER
from ostiary.edge.cli.console import out, print_json
from ostiary.edge.config import Config, load_config
from ostiary.edge.errors import ConfigError
from ostiary.edge.wire import utc


def register(app: typer.Typer) -> None:
    app.command()(unlearn)


def unlearn(
    config: Annotated[Path, typer.Option("--config", help="Profile of the door (TOML).")],
    subject: Annotated[
        str, typer.Argument(help="Subject whose template forgets what it learned.")
    ] = "",
    everybody: Annotated[bool, typer.Option("--all", help="All subjects of this door.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Forget what templates learned at this door; the enrolled templates stay.

    A running daemon searches the enrolled template at once. People who consent may be learned
    again, at their next sure grant.

    Example: `ostiary unlearn --config door.toml alice`
    """
    if bool(subject) == everybody:
        raise ConfigError("expected one subject, or all of them", "name a subject, or use --all")
    profile = load_config(config)
    if profile.roster is None:
        raise ConfigError(
            "this door follows no roster: its templates never learn",
            "`ostiary forget` removes a subject",
        )
    with closing(RosterStore(profile.state.path / ROSTER)) as store:
        count = store.unlearn(subject)
    if subject and not count:
        raise ConfigError(
            f"{subject} has learned nothing here", "`ostiary subjects` lists what was learned"
        )
    if json:
        return print_json({"unlearned": count})
    out.print(f"{count} template{'s' * (count != 1)} forgot what was learned")


def samples_of(profile: Config) -> dict[str, list[LearnedRow]]:
    """The stored samples by subject, the oldest first. Raises StoreError."""
    found: dict[str, list[LearnedRow]] = {}
    with closing(RosterStore(profile.state.path / ROSTER)) as store:
        for row in store.learned():
            found.setdefault(row.subject, []).append(row)
    return found


def in_words(rows: list[LearnedRow]) -> str:
    """How many samples a template has learned, and since when; empty for none."""
    return f"{len(rows)} since {since(rows)}" if rows else ""


def since(rows: list[LearnedRow]) -> str | None:
    """When the oldest sample was taken, as `2026-11-21T08:15:30.123Z`; None without samples."""
    return utc(min(row.at_s for row in rows)) if rows else None
