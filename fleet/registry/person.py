"""A person as the operator knows them, and the person's record for devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ostiary.edge.core.types import MOST_NAME, SUBJECT, Floats, is_name
from ostiary.edge.errors import SealError
from ostiary.edge.roster.record import MOST_PHOTOS, Hours, Photos, Record, decode, encode
from ostiary.fleet.errors import FleetError

UNIT_TOLERANCE = 1e-4


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subject with their name and rights; times are seconds since 1970.

    `learns` means that the person consented that a door may learn from sure grants. `name` never
    leaves the registry.

    The registry sets the last five fields, and ignores them when a person is put: `revision` is
    the sequence number of the last change, `gone` means revoked (a tombstone without templates),
    `encoders` are the ids of the encoders that a template exists for, and `photos` counts the
    photos behind each template by encoder; unknown numbers are left out.
    """

    subject: str
    name: str = ""
    groups: tuple[str, ...] = ()
    valid_from_s: float | None = None
    valid_until_s: float | None = None
    schedule: tuple[Hours, ...] = ()
    suspended: bool = False
    learns: bool = False
    revision: int = 0
    gone: bool = False
    enrolled_at_s: float = 0.0
    encoders: tuple[str, ...] = ()
    photos: dict[str, Photos] = {}

    @property
    def one_photo(self) -> bool:
        """Whether a template of the person was made from one photo only."""
        return 1 in self.photos.values()

    @property
    def uncounted(self) -> bool:
        """Whether it is unknown how many photos a template of the person was made from."""
        return len(self.photos) < len(self.encoders)


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """A (dim,) unit-norm float32 embedding, and the number of photos it was fused from; 0 if that
    is unknown."""

    embedding: Floats
    photos: int = 0


Templates = Mapping[str, Fused]
"""A person's templates by encoder id."""


class Blob(NamedTuple):
    """A template as the registry stores it: little-endian float32, and the number of photos, at
    most MOST_PHOTOS; 0 if that is unknown."""

    raw: bytes
    photos: int = 0


Blobs = Mapping[str, Blob]
"""A person's stored templates by encoder id."""


def check_subject(subject: str) -> str:
    """Return a valid subject or device id unchanged; raise FleetError for any other text."""
    if not SUBJECT.fullmatch(subject):
        raise FleetError(f"{subject!r} is not a subject id", "an id has 1 to 64 of a-z, 0-9 and -")
    return subject


def blobs_of(templates: Templates) -> dict[str, Blob]:
    """Templates as the registry stores them.

    Raises FleetError unless each is a (dim,) float32 array of unit length.
    """
    found = {}
    for encoder, fused in templates.items():
        embedding = fused.embedding
        norm = float(np.linalg.norm(embedding))
        if (
            embedding.ndim != 1
            or embedding.dtype != np.float32
            or not abs(norm - 1) < UNIT_TOLERANCE
        ):
            raise FleetError(
                f"expected a (dim,) float32 template of unit length,"
                f" got {embedding.shape} {embedding.dtype} of length {norm:.4f}"
            )
        raw = np.ascontiguousarray(embedding, "<f4").tobytes()
        found[encoder] = Blob(raw, min(fused.photos, MOST_PHOTOS))
    return found


def photos_of(blobs: Blobs) -> dict[str, int]:
    """The number of photos behind each stored template by encoder id, without unknown numbers."""
    return {encoder: blob.photos for encoder, blob in sorted(blobs.items()) if blob.photos}


def record_of(person: Person, revision: int, blobs: Blobs) -> Record:
    """A person's record for devices; a tombstone if the person is revoked."""
    if person.gone:
        return Record(person.subject, revision, gone=True)
    return Record(
        person.subject,
        revision,
        templates={encoder: blob.raw for encoder, blob in sorted(blobs.items())},
        groups=person.groups,
        valid_from_s=person.valid_from_s,
        valid_until_s=person.valid_until_s,
        schedule=person.schedule,
        suspended=person.suspended,
        photos=photos_of(blobs),
        learns=person.learns,
    )


def check(person: Person, blobs: Blobs) -> None:
    """Raise FleetError for a person or templates that a device would refuse."""
    check_subject(person.subject)
    start, end = person.valid_from_s, person.valid_until_s
    if start is not None and end is not None and not start < end:
        raise FleetError(
            f"{person.subject}: the time of valid until is not after that of valid from"
        )
    if not is_name(person.name):
        raise FleetError(f"{person.subject}: a name has at most {MOST_NAME} printable characters")
    if len(set(person.groups)) < len(person.groups):
        raise FleetError(f"{person.subject}: a group is named twice")
    try:
        decode(encode(record_of(person, 1, blobs)), Record)
    except (SealError, ValueError) as error:
        raise FleetError(f"{person.subject}: {error}") from error


PEOPLE = (
    "SELECT subject, name, groups, valid_from, valid_until, schedule, suspended, learns, revision,"
    " gone, enrolled_at FROM person"
)


def person_from(row: Sequence[Any], photos: Mapping[str, int]) -> Person:
    """A row of `PEOPLE` as a person; `photos` counts those behind each template by encoder, sorted,
    with 0 for an unknown number."""
    subject, name, groups, start, end, schedule, suspended, learns, revision, gone, at = row
    return Person(
        subject=subject,
        name=name,
        groups=msgspec.json.decode(groups, type=tuple[str, ...]),
        valid_from_s=start,
        valid_until_s=end,
        schedule=msgspec.json.decode(schedule, type=tuple[Hours, ...]),
        suspended=bool(suspended),
        learns=bool(learns),
        revision=revision,
        gone=bool(gone),
        enrolled_at_s=at,
        encoders=tuple(photos),
        photos={encoder: number for encoder, number in photos.items() if number},
    )


def row_of(person: Person) -> tuple[object, ...]:
    """A person as a row of `PEOPLE`."""
    return (
        person.subject,
        person.name,
        msgspec.json.encode(person.groups).decode(),
        person.valid_from_s,
        person.valid_until_s,
        msgspec.json.encode(person.schedule).decode(),
        int(person.suspended),
        int(person.learns),
        person.revision,
        int(person.gone),
        person.enrolled_at_s,
    )
