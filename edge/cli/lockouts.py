"""`ostiary lockouts`: who is locked out at this door, and the end of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ostiary.edge.adapters.storage.lockouts import LockoutFile, clear
from ostiary.edge.cli.console import out, print_json
from ostiary.edge.config import load_config
from ostiary.edge.core.rules import lockout


def register(app: typer.Typer) -> None:
    app.command()(lockouts)


def lockouts(
    config: Annotated[Path, typer.Option("--config", help="Profile of the door (TOML).")],
    end: Annotated[bool, typer.Option("--clear", help="End every lockout at this door.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show which cards are locked out and until when, or end all lockouts.

    Faces are shown together, as `face`: nothing about a face is stored. A running daemon ends its
    lockouts at once.

    Example: `ostiary lockouts --config door.toml --clear`
    """
    profile = load_config(config)
    if end:
        cleared = clear(profile.state.path)
        if json:
            return print_json({"cleared": cleared})
        return out.print("lockouts are ended" if cleared else "nobody is locked out")
    now = time.monotonic()
    book = LockoutFile(profile.state.path, time.time).load(profile.rules().lockout, now)
    rows = [
        {"what": key, "denials": len(one.times_s), "left_s": round(one.until_s - now, 1)}
        for key, one in sorted(book.items())
        if key != lockout.DOOR and now < one.until_s
    ]
    if json:
        return print_json({"locked": rows})
    if not rows:
        return out.print("nobody is locked out")
    table = Table("locked out", "seconds left")
    for row in rows:
        table.add_row(str(row["what"]), f"{row['left_s']:.0f}")
    out.print(table)
