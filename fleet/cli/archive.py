"""`ostiary-fleet export` and `import`: the whole registry as one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json, progress
from ostiary.fleet.cli.common import (
    Folder,
    Json,
    NoPublish,
    code,
    open_fleet,
    publisher,
    say,
)
from ostiary.fleet.desk.delivery import publish_change
from ostiary.fleet.enrollment.patch import read_groups
from ostiary.fleet.registry.archive import read_archive, write_archive
from ostiary.fleet.registry.contents import restore


def register(app: typer.Typer) -> None:
    app.command("export")(export_registry)
    app.command("import")(import_registry)


def export_registry(
    file: Annotated[Path, typer.Argument(help="The file to write; an older one is replaced.")],
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Write the whole registry, templates included, to one file that only you may read.

    The file is not encrypted: anybody who has it has everybody's template. Photos and keys are not
    in it.

    Example: `ostiary-fleet export registry.jsonl`
    """
    bar, done = progress("exporting")
    with open_fleet(fleet) as home, bar:
        people = write_archive(home.registry(), home.settings.site, file, done)
    if json:
        return print_json({"file": str(file), "people": people})
    out.print(escape(f"wrote {people} people to {file}"))


def import_registry(
    file: Annotated[Path, typer.Argument(help="A file that `export` has written.")],
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Read an exported registry of this site into a new fleet: all of it, or nothing if anything in
    it is wrong.

    A registry that is not empty is refused: an old archive could bring back people who have been
    revoked since.

    Example: `ostiary-fleet import registry.jsonl`
    """
    with open_fleet(fleet) as home:
        bar, done = progress("checking")
        with bar:
            contents = read_archive(file, home.settings.site, done)
        people = list(contents.people)
        for group in sorted({group for person, _ in people for group in person.groups}):
            read_groups(group, home.settings.groups)
        restore(home.registry(), contents, time.time())
        delivery = publish_change(home, say, publisher(no_publish))
    if json:
        numbers = {"people": len(people), "sequence": contents.sequence}
        print_json({**numbers, "published": delivery.published})
    else:
        out.print(f"imported {len(people)} people as of change {contents.sequence}")
    raise typer.Exit(code(delivery))
