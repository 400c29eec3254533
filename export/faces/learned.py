"""The photos that an encoder learned from: who is on them judges nothing, for it would flatter."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.faces.crops import Crops

FILE = "learned.json"
"""The list's name in a run's folder and in a bundle: a JSON list of ids, as `Crops.photos` are."""
HINT = "give faces of people that the encoder did not learn from"
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]


def to_text(photos: Collection[str]) -> bytes:
    """The list as a file: sorted, one id a line, so that a change can be read in a diff."""
    return msgspec.json.format(msgspec.json.encode(sorted(photos)), indent=1) + b"\n"


def read(path: Path) -> list[str]:
    """The ids in a file. Raises ConfigError, naming the file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Id])
    except (OSError, ValueError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} is no list of the photos that an encoder learned from: {reason}",
            f"ostiary-train writes it as {FILE} beside encoder.toml: copy both",
        ) from error


def in_bundle(bundle: Bundle) -> list[str]:
    """Those of a bundle's encoder; none where the bundle does not say. Raises ConfigError."""
    return read(bundle.path / FILE) if FILE in bundle.manifest.files else []


def strangers(crops: Crops, photos: Collection[str], say: Callable[[str], None]) -> Crops:
    """All but the people of some photos: their other photos are of faces that were learned too.

    Raises PhotoError where nobody is left.
    """
    known = set(photos)
    learned = np.array([photo in known for photo in crops.photos], bool)
    kept = crops.only(~np.isin(crops.person, crops.person[learned]))
    if len(kept) == len(crops):
        return crops
    if not len(kept):
        raise PhotoError(f"the encoder learned from all {crops.people} people given", HINT)
    left_out = len(crops) - len(kept)
    say(f"{left_out} photos left out, of {crops.people - kept.people} people whom it learned from")
    return kept
