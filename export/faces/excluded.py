"""Exclusion lists: photos with wrong labels, which every evaluation leaves out and counts."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.files import without_mark
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.learned import Id


class ExcludedPhoto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photo to leave out: its id as in `Crops.photos`, and for people its path and why."""

    id: Id
    path: str
    reason: str


class ExclusionList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The photos of a data set that carry a wrong label."""

    data_set: str
    photos: list[ExcludedPhoto]


def to_text(found: ExclusionList) -> bytes:
    """The list as JSON text with one photo a line, so that a person can delete lines."""
    rows = [msgspec.json.format(msgspec.json.encode(photo), indent=0) for photo in found.photos]
    lines = b",\n  ".join(rows)
    name = msgspec.json.encode(found.data_set)
    return b'{\n "data_set": ' + name + b',\n "photos": [\n  ' + lines + b"\n ]\n}\n"


def read(path: Path) -> tuple[ExclusionList, str]:
    """A list and the sha256 of its file. Raises ConfigError, naming the file."""
    try:
        text = path.read_bytes()
        return msgspec.json.decode(without_mark(text), type=ExclusionList), sha256(text).hexdigest()
    except (OSError, ValueError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} is not an exclusion list: {reason}",
            "ostiary-export check-labels writes it; after the last photo there is no comma",
        ) from error


def leave_out(crops: Crops, path: Path) -> Crops:
    """The crops without the photos that a list names; the result counts them and names the list.

    Raises ConfigError if the list cannot be read, and PhotoError if it names none of these photos,
    since it then belongs to another data set, or if it names all of them.
    """
    found, digest = read(path)
    kept = crops.without([photo.id for photo in found.photos])
    left_out = len(crops) - len(kept)
    if not left_out and found.photos:
        raise PhotoError(
            f"{path} names {len(found.photos)} photos of {found.data_set}, and none is here",
            "give the list that check-labels wrote for these faces",
        )
    if not len(kept):
        raise PhotoError(f"{path} names all {len(crops)} photos", "give more faces")
    return replace(kept, labels_left_out=left_out, labels_sha256=digest)
