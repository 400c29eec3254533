"""`ostiary-export fit-covered` and `check-covered`: the head that knows covered faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import PhotoError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.heads import covered_file
from ostiary.export.cli.choices import Json
from ostiary.export.cli.making import stages
from ostiary.export.covered import check, fit
from ostiary.export.covered.looks import read_looks
from ostiary.export.faces.crops import data_set_name

Faces = Annotated[
    Path, typer.Option(help="Folder with one subfolder of photos of bare faces per person.")
]


def register(app: typer.Typer) -> None:
    app.command("fit-covered")(fit_covered)
    app.command("check-covered")(check_covered)


def fit_covered(
    bundle: Annotated[Path, typer.Option(help="Bundle whose detector and landmarks find faces.")],
    faces: Faces,
    out_file: Annotated[Path, typer.Option("--out", help="File to write, such as covered.json.")],
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="A kind of cover to judge, but not to fit on; may be given again."),
    ] = None,
    data_set: Annotated[
        str, typer.Option(help="Name of the faces, kept in the file; the folder's by default.")
    ] = "",
    json: Json = False,
) -> None:
    """Fit the head that tells covered faces from bare ones, on covers that the command draws.

    The head needs PyTorch to be fitted, not to be used, and belongs to no encoder.
    `ostiary-export attach` puts the file into a bundle. The recipes that come with Ostiary need no
    file: theirs is recorded.

    Example: `ostiary-export fit-covered --bundle bundle --faces lfw --out covered.json`
    """
    loaded = bundles.read(bundle)
    bar, done = progress("drawing covers on faces")
    with bar:
        looks = read_looks(loaded, faces, done)
    with stages("fit-covered") as say:
        made = fit.fit(looks, data_set_name(faces, data_set), leave_out or (), say)
    write_atomically(out_file, covered_file.to_text(made))
    if json:
        return print_json({"people": made.people, "judged": made.judged})
    table = Table(title=f"{made.judged_people} people who were held out of the fit")
    for title in ("drawn", "faces found", "look covered"):
        table.add_column(title, justify="right")
    for row in made.judged:
        table.add_row(row.kind, f"{row.faces}", f"{row.covered:.4f}")
    out.print(table)
    out.print(escape(f"{out_file}: ostiary-export attach BUNDLE {out_file}"))


def check_covered(
    bundle: Annotated[Path, typer.Argument(help="Bundle directory that `build` wrote.")],
    faces: Faces,
    worn: Annotated[
        Path | None,
        typer.Option(help="JSON list of PERSON/FILE on which the eye has seen a cover."),
    ] = None,
    json: Json = False,
) -> None:
    """Count which drawn covers enrollment refuses, and which bare faces look covered.

    Every photo is tried as it is, darker, and with covers drawn on it. Photos that look covered as
    they are come last: some people do wear dark glasses. Photos of `--worn` count as any other, and
    one more row leaves them out.

    Example: `ostiary-export check-covered bundle --faces lfw`
    """
    loaded = bundles.read(bundle)
    known = () if worn is None else _read_worn(worn)
    bar, done = progress("drawing covers on faces")
    with bar:
        drawn, bare, found = check.check(loaded, faces, done, known)
    if json:
        return print_json({"drawn": drawn, "bare": bare, "look_covered": found})
    table = Table(title="photos at enrollment")
    for title in ("drawn", "photos", "covered", "refused otherwise", "no face", "taken", "refused"):
        table.add_column(title, justify="right")
    for row in drawn:
        counts = (row.photos, row.covered, row.otherwise, row.no_face, row.taken)
        table.add_row(row.kind, *map(str, counts), _shown(row.refused))
    out.print(table)
    table = Table(title="bare faces that look covered")
    for title in ("in what light", "faces", "look covered"):
        table.add_column(title, justify="right")
    for share in bare:
        table.add_row(share.what, f"{share.faces}", _shown(share.covered))
    out.print(table)
    for name in found:
        out.print(escape(name))


def _read_worn(file: Path) -> list[str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise PhotoError(
            f"{file} is no list of photos: {error}",
            'give a JSON list such as ["alice/1.jpg"]',
            option="worn",
        ) from error


def _shown(rate: Rate) -> str:
    return f"{rate.value:.4f} ({rate.low:.4f} to {rate.high:.4f})"
