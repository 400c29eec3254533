"""A folder of photos of two people, as the commands of the exporter take it."""

from __future__ import annotations

from pathlib import Path

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.types import Image
from scripts import trial
from tests.support.places import write_png


def folder_of_people(folder: Path, portrait: Image) -> Path:
    """The portrait's person and another one, with one photo each."""
    shown = {"eileen": portrait, "obama": read_photo(trial.sample_photos() / "obama.jpg")}
    for name, photo in shown.items():
        (folder / name).mkdir(parents=True)
        write_png(folder / name / "1.png", photo)
    return folder
