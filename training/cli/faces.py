"""Reads a folder of faces; a progress bar and notes on unused photos go to standard error."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.markup import escape

from ostiary.edge.cli.console import err, progress
from ostiary.edge.runtime.bundle import Bundle
from ostiary.training.data import photos
from ostiary.training.data.photos import Faces


def say(line: str) -> None:
    """Print a line on standard error; of the lines "layer n of N" only the first is printed."""
    if ", layer " in line and ", layer 1 " not in line:
        return
    err.print(f"[dim]{escape(line)}[/]")


def found_in(
    folder: Path,
    bundle: Bundle,
    min_images: int = photos.MIN_IMAGES,
    learned: Collection[str] = (),
) -> Faces:
    """Read the faces of a folder with a progress bar: see `training.data.photos.read_faces`."""
    bar, done = progress("finding faces")
    with bar:
        return photos.read_faces(bundle, folder, say, done, min_images=min_images, learned=learned)
