"""Recordings of presentations in a folder: what each shows, by where it lies or by `labels.csv`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.errors import RecordingError

LABELS = "labels.csv"
LAYOUT = "expected bona-fide/LIGHT/PERSON/NAME or attack/TYPE/LIGHT/PERSON/NAME"
VIDEOS = (".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
KINDS = (Presentation.BONA_FIDE, Presentation.ATTACK)


@dataclass(frozen=True, slots=True)
class Recording:
    """One presentation: a folder of frames or a video file at `path`, `name` below its data set.

    `kind` is bona fide or attack, `type` the attack type, empty for bona fide. `person` is who
    stands there, or of whom the picture is; `group` is a label of one's own. Frames without times
    in their names are `every_s` apart; None if that is unknown.
    """

    path: Path
    name: str
    kind: Presentation
    type: str = ""
    light: str = ""
    person: str = ""
    group: str = ""
    every_s: float | None = None

    @property
    def is_attack(self) -> bool:
        return self.kind is Presentation.ATTACK


def laid_out(path: Path, name: str) -> Recording:
    """A presentation by the place where it lies. Raises RecordingError."""
    parts = name.split("/")
    kind = next((kind for kind in KINDS if kind.value == parts[0]), None)
    if kind is Presentation.BONA_FIDE and len(parts) == 4:
        return Recording(path, name, kind, light=parts[1], person=parts[2])
    if kind is Presentation.ATTACK and len(parts) == 5:
        return Recording(path, name, kind, parts[1], light=parts[2], person=parts[3])
    raise RecordingError(f"{path} is not where a presentation lies", f"{LAYOUT}, or {LABELS}")


def is_laid_out(name: str) -> bool:
    """Whether a name below the data set says what its presentation shows."""
    parts = name.split("/")
    return (parts[0], len(parts)) in {("bona-fide", 4), ("attack", 5)}


def placed(folder: Path, labelled: Collection[str] = ()) -> list[Recording]:
    """The presentations that lie in the layout, but for those of these names, in order of name.

    Raises RecordingError for frames that lie elsewhere in `bona-fide` or `attack`.
    """
    found = []
    for kind in KINDS:
        top = folder / kind.value
        if top.is_dir():
            depth = 3 if kind is Presentation.BONA_FIDE else 4
            leaves = _leaves(top, kind.value, depth)
            found += [laid_out(path, name) for path, name in leaves if name not in labelled]
    return found


def _leaves(folder: Path, name: str, depth: int) -> Iterator[tuple[Path, str]]:
    """What lies so many folders below, and videos or folders of frames that lie less deep."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path, below = Path(entry.path), f"{name}/{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and depth > 1:
            yield from _leaves(path, below, depth - 1)
        elif entry.is_dir() or is_video(path) or is_photo(path):
            yield path, below


def is_video(path: Path) -> bool:
    """Whether a file's name has a video's extension."""
    return path.suffix.lower() in VIDEOS
