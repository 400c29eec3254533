"""The registry as one file that only its owner may read: a JSON line for each person and entry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from ostiary.edge.files import sync_dir
from ostiary.edge.keyfile import SECRET
from ostiary.edge.roster.record import shard_names
from ostiary.edge.sections import Name
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.contents import Contents, contents_of
from ostiary.fleet.registry.devices import Erasure
from ostiary.fleet.registry.person import UNIT_TOLERANCE, Blob, Blobs, Person, check, check_subject
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.registry.trail import TrailEntry

VERSION = 2
"""Version 2 added each person's photos and consent; version 1 is read as well."""
READ = (1, VERSION)
SHARDS = frozenset(shard_names())
END_OF_TIME_S = 1e11
"""The latest time that a record may have: the year 5138."""
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Done = Callable[[int, int], None]


class ArchiveLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="is"
):
    """A line of an archive; its field `is` gives its kind."""


class ArchiveHeader(ArchiveLine, frozen=True, tag="ostiary-fleet registry"):
    """The first line: the site, and the registry's sequence."""

    version: int
    site: Name
    sequence: Count
    people: Count


class ArchivedPerson(ArchiveLine, frozen=True, tag="person"):
    """A person, and their templates as base64."""

    person: Person
    templates: dict[str, bytes]


class ArchivedEntry(ArchiveLine, frozen=True, tag="trail"):
    """An entry of the trail of changes."""

    entry: TrailEntry


class ArchivedErasure(ArchiveLine, frozen=True, tag="erasure"):
    """An erasure that not every device has confirmed."""

    erasure: Erasure


class ArchivedDevice(ArchiveLine, frozen=True, tag="device"):
    """A device that was provisioned."""

    id: str


class ArchiveEnd(ArchiveLine, frozen=True, tag="end"):
    """The last line: the SHA-256 of all lines before it."""

    sha256: str


AnyLine = (
    ArchiveHeader | ArchivedPerson | ArchivedEntry | ArchivedErasure | ArchivedDevice | ArchiveEnd
)
_DECODER = msgspec.json.Decoder(AnyLine)


def write_archive(registry: Registry, site: str, path: Path, done: Done) -> int:
    """Write everything to a file that only its owner may read; returns the number of people.

    An older file of that name is replaced completely. `done(people, total)` reports progress.
    Raises FleetError if the file cannot be written; no part of it is left then.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file, registry.snapshot():
            people = len(registry.roster.entries())
            for number, line in enumerate(_lines(registry, site, people)):
                raw = msgspec.json.encode(line) + b"\n"
                digest.update(raw)
                file.write(raw)
                done(min(number, people), people)
            file.write(msgspec.json.encode(ArchiveEnd(sha256=digest.hexdigest())) + b"\n")
            file.flush()
            os.fsync(descriptor)
        staged.replace(path)
    except OSError as error:
        raise FleetError(f"cannot write {path}: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)
    sync_dir(path.parent)
    return people


def _lines(registry: Registry, site: str, people: int) -> Iterator[AnyLine]:
    contents = contents_of(registry)
    yield ArchiveHeader(version=VERSION, site=site, sequence=contents.sequence, people=people)
    for person, blobs in contents.people:
        raw = {encoder: blob.raw for encoder, blob in blobs.items()}
        yield ArchivedPerson(person=person, templates=raw)
    yield from (ArchivedErasure(erasure=erasure) for erasure in contents.erasures)
    yield from (ArchivedDevice(id=device) for device in contents.devices)
    yield from (ArchivedEntry(entry=entry) for entry in contents.trail)


def read_archive(path: Path, site: str, done: Done) -> Contents:
    """The contents of an archive of this site, each line checked.

    Raises FleetError, naming the line at fault, if anything in the archive is wrong.
    """
    try:
        with path.open("rb") as file:
            return _Reading(path, site, done).read(file)
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error


class _Reading:
    """Reads one archive, line by line."""

    def __init__(self, path: Path, site: str, done: Done) -> None:
        self._path, self._site, self._done = path, site, done
        self._digest = hashlib.sha256()
        self._people: list[tuple[Person, Blobs]] = []
        self._subjects: set[str] = set()
        self._revisions: set[int] = set()
        self._erasures: list[Erasure] = []
        self._devices: list[str] = []
        self._trail: list[TrailEntry] = []
        self._sizes: dict[str, int] = {}

    def read(self, file: Iterator[bytes]) -> Contents:
        first: ArchiveHeader | None = None
        ended = False
        for number, raw in enumerate(file, 1):
            if ended:
                raise self._wrong(number, "a line after the end")
            line = self._decoded(number, raw)
            if first is None:
                first = self._first(number, line)
            elif isinstance(line, ArchiveEnd):
                ended = True
                if line.sha256 != self._digest.hexdigest():
                    raise self._wrong(number, "the archive was changed since it was written")
            else:
                self._take(number, line, first)
            self._digest.update(raw)
        if first is None or not ended or len(self._people) != first.people:
            raise FleetError(f"{self._path} is cut short", "copy the archive again")
        devices = sorted(set(self._devices))
        return Contents(first.sequence, self._people, self._erasures, devices, self._trail)

    def _decoded(self, number: int, raw: bytes) -> AnyLine:
        try:
            found: AnyLine = _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._wrong(number, str(error)) from error
        return found

    def _first(self, number: int, line: AnyLine) -> ArchiveHeader:
        if not isinstance(line, ArchiveHeader) or line.version not in READ:
            raise self._wrong(number, "not an archive that this version reads")
        if line.site != self._site:
            raise FleetError(
                f"{self._path} is of site {line.site!r}, but this fleet is of {self._site!r}",
                "people can be imported only at the site that enrolled them",
            )
        return line

    def _take(self, number: int, line: AnyLine, first: ArchiveHeader) -> None:
        try:
            if isinstance(line, ArchivedPerson):
                self._take_person(line, first)
            elif isinstance(line, ArchivedErasure):
                self._number(line.erasure.sequence, first)
                if line.erasure.shard not in SHARDS:
                    raise FleetError(f"{line.erasure.shard!r} is not a shard")
                self._erasures.append(line.erasure)
            elif isinstance(line, ArchivedDevice):
                self._devices.append(check_subject(line.id))
            elif isinstance(line, ArchivedEntry):
                self._trail.append(_checked(line.entry, first))
            else:
                raise FleetError("a second header")
        except FleetError as error:
            raise self._wrong(number, error.message) from error

    def _take_person(self, line: ArchivedPerson, first: ArchiveHeader) -> None:
        person = line.person
        blobs = {e: Blob(raw, person.photos.get(e, 0)) for e, raw in line.templates.items()}
        check(msgspec.structs.replace(person, gone=False), blobs)
        if person.subject in self._subjects:
            raise FleetError(f"{person.subject} is in the archive twice")
        if (person.gone and blobs) or person.encoders != tuple(sorted(blobs)):
            raise FleetError(
                f"{person.subject}: the templates do not fit the person's list of encoders"
            )
        if person.photos.keys() - blobs.keys():
            raise FleetError(f"{person.subject}: a number of photos without its template")
        _check_time(person.enrolled_at_s)
        for encoder, raw in line.templates.items():
            _check_template(person.subject, raw)
            # A gallery has one row length for each encoder; a template of another length would make
            # every later command fail.
            if self._sizes.setdefault(encoder, len(raw)) != len(raw):
                raise FleetError(
                    f"{person.subject}: a template of another length than the others of its encoder"
                )
        self._number(person.revision, first)
        self._subjects.add(person.subject)
        self._people.append((person, blobs))
        self._done(len(self._people), first.people)

    def _number(self, revision: int, first: ArchiveHeader) -> None:
        """Raise FleetError unless this number is new, and at most the registry's sequence."""
        if not 0 < revision <= first.sequence or revision in self._revisions:
            raise FleetError(
                f"revision {revision} is used twice or not within 1 to {first.sequence}"
            )
        self._revisions.add(revision)

    def _wrong(self, number: int, message: str) -> FleetError:
        return FleetError(
            f"{self._path}, line {number}: {message}",
            "nothing was imported; use another copy of the archive",
        )


def _checked(entry: TrailEntry, first: ArchiveHeader) -> TrailEntry:
    """Raise FleetError for an entry of the trail that cannot be stored or shown."""
    _check_time(entry.at_s)
    if not 0 <= entry.sequence <= first.sequence:
        raise FleetError(f"the change {entry.sequence} is not within 0 to {first.sequence}")
    if not f"{entry.who}{entry.what}".isprintable():
        raise FleetError("the trail has characters that cannot be printed")
    if entry.subject is not None:
        check_subject(entry.subject)
    return entry


def _check_time(at_s: float) -> None:
    if not 0 <= at_s < END_OF_TIME_S:
        raise FleetError(f"{at_s:g} is not a time")


def _check_template(subject: str, raw: bytes) -> None:
    whole = len(raw) % 4 == 0
    with np.errstate(all="ignore"):
        # float64 holds the square of any float32; NaN fails the comparison below.
        row = np.frombuffer(raw, "<f4") if whole else np.zeros(1)
        norm = float(np.linalg.norm(row.astype(np.float64)))
    if not abs(norm - 1) < UNIT_TOLERANCE:
        raise FleetError(f"{subject}: a template that is not a unit vector")
