"""Groups of people, read from a CSV file, so that the error rates of each can be told apart."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import ConfigError
from ostiary.edge.files import as_text, list_text, trimmed
from ostiary.export.faces.crops import Crops

NOBODY = ""
HINT = "the header is photo,group or person,group"


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Each image's group, `of` (n,) as text, empty if the file names none.

    `labels` says who assigned the groups.
    """

    of: NDArray[np.str_]
    labels: str

    @property
    def names(self) -> list[str]:
        """The groups, sorted."""
        return sorted({str(name) for name in self.of} - {NOBODY})

    def only(self, kept: NDArray[np.bool_]) -> Groups:
        """The groups of the images of a mask."""
        return Groups(self.of[kept], self.labels)


@dataclass(frozen=True, slots=True)
class GroupFile:
    """A CSV file of groups. `labels` says who assigned them; `estimated` that a model did."""

    path: Path
    labels: str = ""
    estimated: bool = False

    def text(self) -> bytes:
        """What the groups are made from, to notice a change. Raises ConfigError."""
        try:
            return repr(self).encode() + self.path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror}") from error


def read_groups(file: GroupFile, crops: Crops) -> Groups:
    """The group of each crop.

    A row names a photo, by its path in the folder or its file's name with or without the ending, or
    a person, by the folder's name. Raises ConfigError, naming the line.
    """
    path = file.path
    by_photo, by_person = _rows(path)
    of = [_group(crops, at, by_photo, by_person) for at in range(len(crops))]
    if not any(of):
        raise ConfigError(f"{path} names none of the {len(crops)} photos", HINT)
    said = as_text(file.labels or path.name)
    said = f"estimated by a model: {said}" if file.estimated else said
    return Groups(np.array(of, np.str_), said)


def _group(crops: Crops, at: int, by_photo: dict[str, str], by_person: dict[str, str]) -> str:
    person = crops.names[int(crops.person[at])]
    if by_photo and crops.paths:
        path = crops.paths[at]
        for name in (f"{person}/{path.name}", path.name, path.stem):
            if name in by_photo:
                return by_photo[name]
    return by_person.get(person, NOBODY)


def _rows(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The groups by photo and by person."""
    try:
        lines = list(csv.reader(io.StringIO(list_text(path), newline=""), strict=True))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not a CSV file in UTF-8: {error}", HINT) from error
    header = trimmed([cell.lower() for cell in lines[0]]) if lines else []
    if header not in (["photo", "group"], ["person", "group"]):
        raise ConfigError(f"{path}, line 1: {','.join(header) or 'nothing'}", HINT)
    found: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        cells = trimmed(line)
        if not cells:
            continue
        if len(cells) != 2 or not all(cells):
            raise ConfigError(f"{path}, line {number}: expected two cells, got {line}", HINT)
        name, group = as_text(cells[0]), as_text(cells[1])
        if found.setdefault(name, group) != group:
            raise ConfigError(
                f"{path}, line {number}: {name} is in {found[name]} already", "name a group once"
            )
    return (found, {}) if header[0] == "photo" else ({}, found)
