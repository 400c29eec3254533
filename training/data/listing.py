"""What lies in a folder of faces beside the photos that are read, so that none is missed unseen."""

from __future__ import annotations

from pathlib import Path

from ostiary.edge.adapters.photos import SUFFIXES, is_photo
from ostiary.export.faces.crops import inside, is_hidden

NOT_READ = (
    *(".heic", ".heif", ".webp", ".avif", ".tif", ".tiff", ".gif", ".jfif", ".jp2", ".jxl"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw"),
)
"""Suffixes of photos of other formats; of further files nobody expects that they are read."""


def photos_of(folder: Path) -> list[Path]:
    """All photos in the people's folders, those of formats that are not read among them."""
    return [path for path in inside(folder) if is_photo(path) or _is_missed(path)]


def of_other_formats(photos: list[Path], folder: Path) -> dict[str, str]:
    """Each photo that is of a format that is not read, with its problem."""
    kinds = ", ".join(SUFFIXES)
    return {
        str(path.relative_to(folder)): f"{path} is of a format that is not read; those are {kinds}"
        for path in photos
        if not is_photo(path)
    }


def elsewhere(folder: Path) -> list[str]:
    """Files that are in no person's folder, and in those what is no photo."""
    beside = [path for path in folder.glob("*") if not (path.is_dir() or is_hidden(path))]
    others = [path for path in inside(folder) if not (is_photo(path) or _is_missed(path))]
    return [str(path.relative_to(folder)) for path in (*sorted(beside), *others)]


def _is_missed(path: Path) -> bool:
    return path.suffix.lower() in NOT_READ and not path.is_dir()
