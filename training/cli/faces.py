"""A folder of faces, found with a bar on standard error and what is not used said there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.markup import escape

from ostiary.edge.cli.console import err, progress
from ostiary.edge.runtime.bundle import Bundle
from ostiary.training.data import photos
from ostiary.training.data.photos import Faces


def say(line: str) -> None:
    """A line for whoever watches, on standard error; of a count of layers the first alone."""
    if ", layer " in line and ", layer 1 " not in line:
        return
    err.print(f"[dim]{escape(line)}[/]")


def found_in(
    folder: Path,
    bundle: Bundle,
    min_images: int = photos.MIN_IMAGES,
    learned: Collection[str] = (),
) -> Faces:
    """The faces of a folder as `ostiary.training.data.photos.read_faces` gives them."""
    bar, done = progress("finding faces")
    with bar:
        return photos.read_faces(bundle, folder, say, done, min_images=min_images, learned=learned)
