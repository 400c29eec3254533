"""`ostiary-train check-data` and `show-augment`: look at the faces before they are learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.markup import escape

from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.batch import crop_photo, each_photo
from ostiary.export.faces.crops import inside
from ostiary.training.data import photos as data
from ostiary.training.data.augment import DOMAINS, Augmentation, augment
from ostiary.training.run.settings import Augment
from ostiary.training.tasks import fit

FAILED = 1
GAP_PX = 4
Finder = Annotated[Path, typer.Option(help="Finds and aligns the faces, as a door would.")]


def register(app: typer.Typer) -> None:
    app.command("check-data")(check)
    app.command("show-augment")(show)


def check(
    folder: Annotated[Path, typer.Argument(help="A folder with one folder of photos a person.")],
    bundle: Finder,
    min_images: Annotated[
        int, typer.Option(min=1, help="Faces that a person needs.")
    ] = data.MIN_IMAGES,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell what of a folder can be learned from, and what can not and why.

    Photos that can not be read, files of other formats among them, or that show no face, people
    with too few, photos that are there twice, what lies beside or deeper than the people's folders,
    and photos so alike under two people's names that they should be looked at: most are one photo.
    Exit code 1: there are some of these.

    Example: `ostiary-train check-data faces --bundle bundle`
    """
    bar, done = progress("faces")
    with bar:
        found = data.read_faces(
            bundles.read(bundle),
            folder,
            lambda line: None,
            done,
            most_unreadable=1.0,
            min_images=min_images,
        )
    left = found.left_out
    if json:
        people, images = len(found.names), len(found)
        print_json({"people": people, "images": images, "not_used": left.counts(), "left": left})
    else:
        _tell(found, min_images)
    if left.shared:
        raise typer.Exit(FAILED)


def _tell(found: data.Faces, min_images: int) -> None:
    for line in data.told(found, min_images):
        out.print(escape(line))
    count = np.bincount(found.crops.person)
    out.print(f"{count.min()} to {count.max()} faces a person, {np.median(count):g} in the middle")
    for why in found.left_out.unreadable.values():
        out.print(escape(f"  {why}"))
    for pair in found.left_out.shared:
        out.print(f"[yellow]look at, alike under two names[/]: {escape(str(pair))}")


def show(
    photos: Annotated[Path, typer.Argument(help="A photo, or a folder of them.")],
    bundle: Finder,
    sheet: Annotated[Path, typer.Option("--out", help="The picture that is written, a .png.")],
    domain: Annotated[str, typer.Option(help=f"One of {', '.join(DOMAINS)}.")] = "door",
    faces: Annotated[int, typer.Option(min=1, max=50, help="Rows, of a folder.")] = 6,
    times: Annotated[int, typer.Option(min=1, max=50, help="Columns.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance in it.")] = 1,
) -> None:
    """Draw faces as a camera's domain would show them: a row a face, as it is at its left.

    Examples:

    `ostiary-train show-augment faces --bundle bundle --domain night --out night.png`

    `ostiary-train show-augment me.jpg --bundle bundle --out door.png`
    """
    how = fit.augmentation(Augment(domain))
    if sheet.suffix.lower() != ".png":
        raise PhotoError(f"{sheet} is not the name of a .png", "--out sheet.png")
    results = each_photo(bundles.read(bundle).in_float(), _chosen(photos, faces), crop_photo)
    aligned = [found.image for found in results if found.image is not None]
    for found in (found for found in results if found.problem):
        err.print(f"[dim]left out: {escape(found.problem)}[/]")
    if not aligned:
        raise PhotoError(f"no face in {photos}", "give photos of faces")
    write_atomically(
        sheet, cv2.imencode(".png", contact_sheet(aligned, how, times, seed))[1].tobytes()
    )
    out.print(escape(f"wrote {sheet}: {len(aligned)} faces, {times} times {domain}"))


def contact_sheet(faces: list[Image], how: Augmentation, times: int, seed: int) -> Image:
    """A row a face: as it is, then `times` as `how` shows it."""
    rows = []
    for row, face in enumerate(faces):
        rngs = (np.random.default_rng([seed, row, column]) for column in range(times))
        shown = [face, *(augment(face, rng, how) for rng in rngs)]
        rows.append(np.hstack([_framed(image) for image in shown]))
    return np.vstack(rows)


def _framed(image: Image) -> Image:
    return np.pad(image, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)


def _chosen(photos: Path, most: int) -> list[Path]:
    """The photo, or as many of a folder, evenly from its first to its last."""
    if not photos.is_dir():
        return [photos]
    # Not `rglob`: a person's folder may be a link, and it follows none.
    found = sorted(p for p in (*photos.glob("*"), *inside(photos)) if is_photo(p))
    places = np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)
    return [found[place] for place in places]
