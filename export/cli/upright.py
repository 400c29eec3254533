"""`ostiary-export fit-upright` and `check-upright`: the head that knows upright faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.heads import upright_file
from ostiary.export.cli.choices import Json
from ostiary.export.cli.making import stages
from ostiary.export.faces.crops import data_set_name
from ostiary.export.upright import check, fit
from ostiary.export.upright.check import TurnedFrames, TurnedPhotos
from ostiary.export.upright.looks import read_looks

Faces = Annotated[
    Path, typer.Option(help="Folder with one subfolder of upright photos per person.")
]


def register(app: typer.Typer) -> None:
    app.command("fit-upright")(fit_upright)
    app.command("check-upright")(check_upright)


def fit_upright(
    bundle: Annotated[Path, typer.Option(help="Bundle whose landmark model the head is for.")],
    faces: Faces,
    out_file: Annotated[Path, typer.Option("--out", help="File to write, such as upright.json.")],
    data_set: Annotated[
        str, typer.Option(help="Name of the faces, kept in the file; the folder's by default.")
    ] = "",
    json: Json = False,
) -> None:
    """Fit the head that tells upright faces from turned ones, by the landmark model's output.

    The photos must be upright; the command turns them itself. `ostiary-export attach` puts the file
    into a bundle. The recipes that come with Ostiary need no file: theirs is recorded.

    Example: `ostiary-export fit-upright --bundle bundle --faces lfw --out upright.json`
    """
    loaded = bundles.read(bundle)
    bar, done = progress("looking at faces in all turns")
    with bar:
        looks = read_looks(loaded, faces, done)
    hashed = loaded.manifest.files[loaded.model("landmarks").file]
    with stages("fit-upright") as say:
        made = fit.fit(looks, hashed, data_set_name(faces, data_set), say)
    write_atomically(out_file, upright_file.to_text(made))
    if json:
        return print_json(made)
    table = Table(title=f"{made.photos} photos of {made.people} people, each held out of its fit")
    for title in ("turned by", "faces found", "look upright"):
        table.add_column(title, justify="right")
    for row in made.judged:
        table.add_row(f"{row.turned}", f"{row.faces}", f"{row.upright:.4f}")
    out.print(table)
    out.print(escape(f"{out_file}: ostiary-export attach BUNDLE {out_file}"))


def check_upright(
    bundle: Annotated[Path, typer.Argument(help="Bundle directory that `build` wrote.")],
    faces: Faces,
    k: Annotated[int, typer.Option(min=1, help="Number of people enrolled at the door.")] = 100,
    fpir: Annotated[float, typer.Option(min=1e-6, max=0.5, help="FPIR that tau is for.")] = 0.01,
    json: Json = False,
) -> None:
    """Count what becomes of photos that are turned, and of strangers before a turned camera.

    Every photo is tried in its four turns, as enrollment sees it, and as one frame of a door. The
    photos must be upright.

    Example: `ostiary-export check-upright bundle --faces lfw`
    """
    loaded = bundles.read(bundle)
    bar, done = progress("looking at faces in all turns")
    with bar:
        photos, frames = check.check(loaded, faces, k, fpir, done)
    if json:
        return print_json({"head": loaded.upright is not None, "photos": photos, "frames": frames})
    if loaded.upright is None:
        err.print("the bundle has no upright.json: the detector's score is asked, and only refuses")
    _show_photos(photos)
    _show_frames(frames)


def _show_photos(rows: list[TurnedPhotos]) -> None:
    table = Table(title="photos at enrollment")
    titles = ("turned by", "photos", "as they are", "turned upright", "turned wrongly", "refused")
    for title in (*titles, "no face"):
        table.add_column(title, justify="right")
    for row in rows:
        counts = (row.as_they_are, row.turned_upright, row.turned_wrongly, row.refused, row.no_face)
        table.add_row(f"{row.turned}", f"{row.photos}", *map(str, counts))
    out.print(table)


def _show_frames(rows: list[TurnedFrames]) -> None:
    if not rows:
        return err.print("too few people for a door with so many enrolled")
    first = rows[0]
    table = Table(title=f"strangers at a door with {first.k} people, FPIR {first.wanted} asked")
    for title in ("camera turned by", "faces found", "usable", "let in", "if not asked"):
        table.add_column(title, justify="right")
    for row in rows:
        shares = (f"{row.let_in:.5f}", f"{row.let_in_unasked:.5f}")
        table.add_row(f"{row.turned}", f"{row.found}", f"{row.usable}", *shares)
    out.print(table)
