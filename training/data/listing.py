"""Lists the files in a folder of faces that are not read, so that no photo is missed silently."""

from __future__ import annotations

from pathlib import Path

from ostiary.edge.adapters.photos import SUFFIXES, is_photo
from ostiary.export.faces.crops import inside, is_hidden

NOT_READ = (".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw")
"""Suffixes of photo formats that are not read, although users may expect that."""


def photos_of(folder: Path) -> list[Path]:
    """All photos in the people's folders, including those in formats that are not read."""
    return [path for path in inside(folder) if is_photo(path) or _is_missed(path)]


def of_other_formats(photos: list[Path], folder: Path) -> dict[str, str]:
    """The problem of each photo in a format that is not read, by its path in the folder."""
    kinds = ", ".join(SUFFIXES)
    return {
        str(path.relative_to(folder)): f"{path}: this format is not read; use one of {kinds}"
        for path in photos
        if not is_photo(path)
    }


def elsewhere(folder: Path) -> list[str]:
    """Files beside the people's folders, and everything in those folders that is not a photo."""
    beside = [path for path in folder.glob("*") if not (path.is_dir() or is_hidden(path))]
    others = [path for path in inside(folder) if not (is_photo(path) or _is_missed(path))]
    return [str(path.relative_to(folder)) for path in (*sorted(beside), *others)]


def _is_missed(path: Path) -> bool:
    return path.suffix.lower() in NOT_READ and not path.is_dir()
