"""The registry in one file, a JSON line a person, templates included: for its owner's eyes only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from ostiary.edge.config import Name
from ostiary.edge.files import sync_dir
from ostiary.edge.keyfile import SECRET
from ostiary.edge.roster.record import shard_names
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import UNIT_TOLERANCE, Blobs, Person, check, check_subject
from ostiary.fleet.registry.reader import Entry, Erasure
from ostiary.fleet.registry.saved import Saved
from ostiary.fleet.registry.writer import Registry

VERSION = 1
SHARDS = frozenset(shard_names())
END_OF_TIME_S = 1e11
"""As records have it: year 5138."""
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Done = Callable[[int, int], None]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="is"):
    """A line of an archive, which says what it is."""


class First(Line, frozen=True, tag="ostiary-fleet registry"):
    """Whose registry this is, and as of which sequence."""

    version: int
    site: Name
    sequence: Count
    people: Count


class One(Line, frozen=True, tag="person"):
    """A person and their templates, as base64."""

    person: Person
    templates: dict[str, bytes]


class Trail(Line, frozen=True, tag="trail"):
    """A line of the trail of changes."""

    entry: Entry


class Waiting(Line, frozen=True, tag="erasure"):
    """An erasure without its receipts."""

    erasure: Erasure


class Door(Line, frozen=True, tag="device"):
    """A device that was provisioned."""

    id: str


class Last(Line, frozen=True, tag="end"):
    """The SHA-256 of all lines before."""

    sha256: str


AnyLine = First | One | Trail | Waiting | Door | Last
_DECODER = msgspec.json.Decoder(AnyLine)


def write_archive(registry: Registry, site: str, path: Path, done: Done) -> int:
    """Write everything to a new file that only its owner may read; how many people there are."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file, registry.snapshot():
            people = len(registry.entries())
            for number, line in enumerate(_lines(registry, site, people)):
                raw = msgspec.json.encode(line) + b"\n"
                digest.update(raw)
                file.write(raw)
                done(min(number, people), people)
            file.write(msgspec.json.encode(Last(sha256=digest.hexdigest())) + b"\n")
            file.flush()
            os.fsync(descriptor)
        staged.replace(path)
    except OSError as error:
        raise FleetError(f"can not write {path}: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)
    sync_dir(path.parent)
    return people


def _lines(registry: Registry, site: str, people: int) -> Iterator[AnyLine]:
    saved = registry.saved()
    yield First(version=VERSION, site=site, sequence=saved.sequence, people=people)
    for person, blobs in saved.people:
        yield One(person=person, templates=dict(blobs))
    yield from (Waiting(erasure=erasure) for erasure in saved.erasures)
    yield from (Door(id=device) for device in saved.devices)
    yield from (Trail(entry=entry) for entry in saved.trail)


def read_archive(path: Path, site: str, done: Done) -> Saved:
    """Everything that an archive of this site holds, each line checked.

    Raises FleetError with the line at fault; nothing of a broken archive is to be used.
    """
    try:
        with path.open("rb") as file:
            return _Reading(path, site, done).read(file)
    except OSError as error:
        raise FleetError(f"can not read {path}: {error.strerror}") from error


class _Reading:
    """One archive, line by line."""

    def __init__(self, path: Path, site: str, done: Done) -> None:
        self._path, self._site, self._done = path, site, done
        self._digest = hashlib.sha256()
        self._people: list[tuple[Person, Blobs]] = []
        self._subjects: set[str] = set()
        self._revisions: set[int] = set()
        self._erasures: list[Erasure] = []
        self._devices: list[str] = []
        self._trail: list[Entry] = []
        self._sizes: dict[str, int] = {}

    def read(self, file: Iterator[bytes]) -> Saved:
        first: First | None = None
        ended = False
        for number, raw in enumerate(file, 1):
            if ended:
                raise self._wrong(number, "a line after the end")
            line = self._decoded(number, raw)
            if first is None:
                first = self._first(number, line)
            elif isinstance(line, Last):
                ended = True
                if line.sha256 != self._digest.hexdigest():
                    raise self._wrong(number, "the archive was changed since it was written")
            else:
                self._take(number, line, first)
            self._digest.update(raw)
        if first is None or not ended or len(self._people) != first.people:
            raise FleetError(f"{self._path} is cut short", "copy it again")
        devices = sorted(set(self._devices))
        return Saved(first.sequence, self._people, self._erasures, devices, self._trail)

    def _decoded(self, number: int, raw: bytes) -> AnyLine:
        try:
            found: AnyLine = _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._wrong(number, str(error)) from error
        return found

    def _first(self, number: int, line: AnyLine) -> First:
        if not isinstance(line, First) or line.version != VERSION:
            raise self._wrong(number, "no archive that this version reads")
        if line.site != self._site:
            raise FleetError(
                f"{self._path} is of site {line.site!r}, this fleet is {self._site!r}",
                "people belong to the site that enrolled them",
            )
        return line

    def _take(self, number: int, line: AnyLine, first: First) -> None:
        try:
            if isinstance(line, One):
                self._take_person(line, first)
            elif isinstance(line, Waiting):
                self._number(line.erasure.sequence, first)
                if line.erasure.shard not in SHARDS:
                    raise FleetError(f"{line.erasure.shard!r} is no shard")
                self._erasures.append(line.erasure)
            elif isinstance(line, Door):
                self._devices.append(check_subject(line.id))
            elif isinstance(line, Trail):
                self._trail.append(_checked(line.entry, first))
            else:
                raise FleetError("a second first line")
        except FleetError as error:
            raise self._wrong(number, error.message) from error

    def _take_person(self, line: One, first: First) -> None:
        person, blobs = line.person, line.templates
        check(msgspec.structs.replace(person, gone=False), blobs)
        if person.subject in self._subjects:
            raise FleetError(f"{person.subject} is there twice")
        if (person.gone and blobs) or person.encoders != tuple(sorted(blobs)):
            raise FleetError(f"{person.subject}: other templates than the person has")
        _check_time(person.enrolled_at_s)
        for encoder, blob in blobs.items():
            _check_template(person.subject, blob)
            # Galleries hold rows of one length an encoder: another one would stop every command.
            if self._sizes.setdefault(encoder, len(blob)) != len(blob):
                raise FleetError(f"{person.subject}: a template of another length than the others")
        self._number(person.revision, first)
        self._subjects.add(person.subject)
        self._people.append((person, blobs))
        self._done(len(self._people), first.people)

    def _number(self, revision: int, first: First) -> None:
        """Each change has a number of its own, and none is above the sequence."""
        if not 0 < revision <= first.sequence or revision in self._revisions:
            raise FleetError(f"revision {revision} is not one of {first.sequence}")
        self._revisions.add(revision)

    def _wrong(self, number: int, message: str) -> FleetError:
        return FleetError(
            f"{self._path}, line {number}: {message}", "nothing was imported; use another copy"
        )


def _checked(entry: Entry, first: First) -> Entry:
    """A line of the trail that can be stored and shown. Raises FleetError."""
    _check_time(entry.at_s)
    if not 0 <= entry.sequence <= first.sequence:
        raise FleetError(f"a change {entry.sequence} that is not one of {first.sequence}")
    if not f"{entry.who}{entry.what}".isprintable():
        raise FleetError("a trail with characters that can not be printed")
    if entry.subject is not None:
        check_subject(entry.subject)
    return entry


def _check_time(at_s: float) -> None:
    if not 0 <= at_s < END_OF_TIME_S:
        raise FleetError(f"{at_s:g} is no time")


def _check_template(subject: str, blob: bytes) -> None:
    whole = len(blob) % 4 == 0
    with np.errstate(all="ignore"):
        # Wide enough for any float32, squared; what is none is caught by the comparison.
        row = np.frombuffer(blob, "<f4") if whole else np.zeros(1)
        norm = float(np.linalg.norm(row.astype(np.float64)))
    if not abs(norm - 1) < UNIT_TOLERANCE:
        raise FleetError(f"{subject}: a template that is no unit vector")
