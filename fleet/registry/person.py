"""A person as the operator knows them, and the person's record for devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.core.types import SUBJECT, Floats
from ostiary.edge.errors import SealError
from ostiary.edge.roster.record import Hours, Record, decode, encode
from ostiary.fleet.errors import FleetError

UNIT_TOLERANCE = 1e-4
MOST_NAME = 200


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subject with their name and rights; times are seconds since 1970.

    The registry sets the last four fields, and ignores them when a person is put: `revision` is
    the sequence number of the last change, `gone` means revoked (a tombstone without templates),
    and `encoders` are the ids of the encoders that a template exists for. `name` never leaves the
    registry.
    """

    subject: str
    name: str = ""
    groups: tuple[str, ...] = ()
    valid_from_s: float | None = None
    valid_until_s: float | None = None
    schedule: tuple[Hours, ...] = ()
    suspended: bool = False
    revision: int = 0
    gone: bool = False
    enrolled_at_s: float = 0.0
    encoders: tuple[str, ...] = ()


Blobs = Mapping[str, bytes]
"""Templates as little-endian float32, by encoder id."""


def check_subject(subject: str) -> str:
    """Return a valid subject or device id unchanged; raise FleetError for any other text."""
    if not SUBJECT.fullmatch(subject):
        raise FleetError(f"{subject!r} is not a subject id", "an id has 1 to 64 of a-z, 0-9 and -")
    return subject


def blobs_of(templates: Mapping[str, Floats]) -> dict[str, bytes]:
    """Templates as the registry stores them.

    Raises FleetError unless each is a (dim,) float32 array of unit length.
    """
    found = {}
    for encoder, embedding in templates.items():
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
        found[encoder] = np.ascontiguousarray(embedding, "<f4").tobytes()
    return found


def record_of(person: Person, revision: int, blobs: Blobs) -> Record:
    """A person's record for devices; a tombstone if the person is revoked."""
    if person.gone:
        return Record(person.subject, revision, gone=True)
    return Record(
        person.subject,
        revision,
        templates=dict(sorted(blobs.items())),
        groups=person.groups,
        valid_from_s=person.valid_from_s,
        valid_until_s=person.valid_until_s,
        schedule=person.schedule,
        suspended=person.suspended,
    )


def check(person: Person, blobs: Blobs) -> None:
    """Raise FleetError for a person or templates that a device would refuse."""
    check_subject(person.subject)
    start, end = person.valid_from_s, person.valid_until_s
    if start is not None and end is not None and not start < end:
        raise FleetError(
            f"{person.subject}: the time of valid until is not after that of valid from"
        )
    if len(person.name) > MOST_NAME or not person.name.isprintable():
        raise FleetError(f"{person.subject}: a name has at most {MOST_NAME} printable characters")
    if len(set(person.groups)) < len(person.groups):
        raise FleetError(f"{person.subject}: a group is named twice")
    try:
        decode(encode(record_of(person, 1, blobs)), Record)
    except (SealError, ValueError) as error:
        raise FleetError(f"{person.subject}: {error}") from error


PEOPLE = (
    "SELECT subject, name, groups, valid_from, valid_until, schedule, suspended, revision, gone,"
    " enrolled_at FROM person"
)


def person_from(row: Sequence[Any], encoders: tuple[str, ...]) -> Person:
    """A row of `PEOPLE` as a person."""
    subject, name, groups, start, end, schedule, suspended, revision, gone, at = row
    return Person(
        subject=subject,
        name=name,
        groups=msgspec.json.decode(groups, type=tuple[str, ...]),
        valid_from_s=start,
        valid_until_s=end,
        schedule=msgspec.json.decode(schedule, type=tuple[Hours, ...]),
        suspended=bool(suspended),
        revision=revision,
        gone=bool(gone),
        enrolled_at_s=at,
        encoders=encoders,
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
        person.revision,
        int(person.gone),
        person.enrolled_at_s,
    )
