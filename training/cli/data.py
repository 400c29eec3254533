"""`ostiary-train check-data` and `show-augment`: look at the faces before training on them."""

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
Finder = Annotated[Path, typer.Option(help="Bundle that finds and aligns the faces.")]


def register(app: typer.Typer) -> None:
    app.command("check-data")(check)
    app.command("show-augment")(show)


def check(
    folder: Annotated[Path, typer.Argument(help="Folder with one folder of photos per person.")],
    bundle: Finder,
    min_images: Annotated[
        int, typer.Option(min=1, help="Least number of faces per person; others are left out.")
    ] = data.MIN_IMAGES,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a folder of photos: what can be used for training, and what cannot and why.

    Listed are photos that cannot be read (other formats count as such) or show no face, people
    with too few faces, duplicate photos, files beside the people's folders, folders inside them,
    and photos under two people's names that look so alike that they are probably one photo. Exit
    code 1: there are photos of this last kind, which somebody should look at.

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
    out.print(f"{count.min()} to {count.max()} faces per person, median {np.median(count):g}")
    for why in found.left_out.unreadable.values():
        out.print(escape(f"  {why}"))
    for pair in found.left_out.shared:
        out.print(f"[yellow]look at these, alike under two names[/]: {escape(str(pair))}")


def show(
    photos: Annotated[Path, typer.Argument(help="Photo, or folder of photos.")],
    bundle: Finder,
    sheet: Annotated[Path, typer.Option("--out", help="Picture to write, a .png file.")],
    domain: Annotated[
        str, typer.Option(help=f"Camera condition to simulate: {', '.join(DOMAINS)}.")
    ] = "door",
    faces: Annotated[
        int, typer.Option(min=1, max=50, help="Number of faces to draw from a folder.")
    ] = 6,
    times: Annotated[
        int, typer.Option(min=1, max=50, help="Number of simulated pictures per face.")
    ] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the simulation.")] = 1,
) -> None:
    """Draw faces as a camera would show them: one row per face, the unchanged face at its left.

    Examples:

    `ostiary-train show-augment faces --bundle bundle --domain night --out night.png`

    `ostiary-train show-augment me.jpg --bundle bundle --out door.png`
    """
    how = fit.augmentation(Augment(domain))
    if sheet.suffix.lower() != ".png":
        raise PhotoError(f"{sheet} does not end in .png", "--out sheet.png")
    results = each_photo(bundles.read(bundle).in_float(), _chosen(photos, faces), crop_photo)
    aligned = [found.image for found in results if found.image is not None]
    for found in (found for found in results if found.problem):
        err.print(f"[dim]left out: {escape(found.problem)}[/]")
    if not aligned:
        raise PhotoError(f"no face was found in {photos}", "give photos of faces")
    write_atomically(
        sheet, cv2.imencode(".png", contact_sheet(aligned, how, times, seed))[1].tobytes()
    )
    out.print(escape(f"wrote {sheet}: {len(aligned)} faces, each {times} times as {domain}"))


def contact_sheet(faces: list[Image], how: Augmentation, times: int, seed: int) -> Image:
    """One picture with a row per face: the unchanged face, then `times` copies changed by `how`."""
    rows = []
    for row, face in enumerate(faces):
        rngs = (np.random.default_rng([seed, row, column]) for column in range(times))
        shown = [face, *(augment(face, rng, how) for rng in rngs)]
        rows.append(np.hstack([_framed(image) for image in shown]))
    return np.vstack(rows)


def _framed(image: Image) -> Image:
    return np.pad(image, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)


def _chosen(photos: Path, most: int) -> list[Path]:
    """The photo itself, or at most `most` of a folder, spread evenly over its sorted list."""
    if not photos.is_dir():
        return [photos]
    # `rglob` is not used: it follows no links, and a person's folder may be one.
    found = sorted(p for p in (*photos.glob("*"), *inside(photos)) if is_photo(p))
    places = np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)
    return [found[place] for place in places]
