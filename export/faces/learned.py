"""The photos that an encoder learned from: people on them are left out of every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.files import to_json, without_mark
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.faces.crops import Crops, photo_id

FILE = "learned.json"
"""The list's file in a run's folder and in a bundle: a JSON list of ids as in `Crops.photos`."""
HINT = "give faces of people that the encoder did not learn from"
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]


def to_text(photos: Collection[str]) -> bytes:
    """The list as a file's text: sorted, one id per line, so that a diff shows a change."""
    return to_json(sorted(photos))


def read(path: Path) -> list[str]:
    """The ids in a list's file. Raises ConfigError, naming the file."""
    try:
        return msgspec.json.decode(without_mark(path.read_bytes()), type=list[Id])
    except (OSError, ValueError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} is not a list of the photos that an encoder learned from: {reason}",
            f"ostiary-train writes it as {FILE} beside encoder.toml: copy both",
        ) from error


def in_bundle(bundle: Bundle) -> list[str]:
    """The ids that a bundle lists for its encoder; empty without a list. Raises ConfigError."""
    return read(bundle.path / FILE) if FILE in bundle.manifest.files else []


def known_folders(folders: Collection[Path], photos: Collection[str]) -> set[Path]:
    """The folders that hold one of these photos, each folder being one person's."""
    known = set(photos)
    return {
        folder
        for folder in (folders if known else ())
        if any(photo_id(path) in known for path in folder.iterdir() if is_photo(path))
    }


def strangers(crops: Crops, photos: Collection[str], say: Callable[[str], None]) -> Crops:
    """The crops without the people on these photos; such a person's other photos are removed too.

    Raises PhotoError if nobody is left.
    """
    known = set(photos)
    learned = np.array([photo in known for photo in crops.photos], bool)
    kept = crops.only(~np.isin(crops.person, crops.person[learned]))
    if len(kept) == len(crops):
        return crops
    if not len(kept):
        raise PhotoError(f"the encoder learned from all {crops.people} people given", HINT)
    left_out = len(crops) - len(kept)
    people = crops.people - kept.people
    say(f"{left_out} photos left out, of {people} people whom the encoder learned from")
    return kept
