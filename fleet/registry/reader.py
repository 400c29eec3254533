"""What the registry says: people, records, the head and its indexes, the trail of changes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.adapters.storage.sqlite import connect
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import StoreError
from ostiary.edge.roster.record import Head, Index, Record, Sum
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import PEOPLE, Person, person_from, record_of
from ostiary.fleet.registry.schema import MIGRATIONS

CHUNK = 500
"""Records that are in memory at once."""
AMONG = " WHERE subject IN (SELECT value FROM json_each(?))"
TEMPLATES = "SELECT subject, encoder, embedding FROM template"
ENCODERS = "SELECT subject, encoder FROM template"
ORDERED = " ORDER BY subject, encoder"
TRAIL = "SELECT at, who, what, subject, sequence FROM audit"
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail; without a `subject` where it was erased since."""

    at_s: float
    who: str
    what: str
    subject: str | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that devices must still confirm: who it was is gone, the shard is not."""

    sequence: int
    shard: str


class Reader:
    """The reading half of the registry. Raises FleetError while another process holds it too long,
    StoreError where the disk fails."""

    def __init__(self, path: Path, busy_s: float = 5.0) -> None:
        self.path = path
        try:
            self._database = connect(path, MIGRATIONS)
        except StoreError as error:
            raise (busy() if "locked" in error.message else error) from error
        self._database.execute(f"PRAGMA busy_timeout = {int(busy_s * 1000)}")

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read in the block is of one moment, whoever writes meanwhile. Nothing can be
        written in it by this registry."""
        if self._database.in_transaction:
            yield
            return
        with self._named():
            self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("COMMIT")

    @property
    def sequence(self) -> int:
        """How often the roster was changed; 0 when nothing ever was."""
        return self._counter("sequence")

    @property
    def published(self) -> int:
        """The sequence that the broker was last made equal to; 0 for never."""
        return self._counter("published")

    @property
    def attempted(self) -> int:
        """The highest number that publishing ever began to send, or took over: what is beyond it
        at the broker was not signed from here, also where this registry counts further by now."""
        return self._counter("attempted")

    def entries(self) -> dict[str, int]:
        """The revision of every subject, tombstones included."""
        return dict(self._all("SELECT subject, revision FROM person"))

    def changed_since(self, sequence: int) -> list[str]:
        """The subjects whose revision is higher, lowest first; erased ones are in no list."""
        query = "SELECT subject FROM person WHERE revision > ? ORDER BY revision"
        return [row[0] for row in self._all(query, sequence)]

    def changed_shards(self, sequence: int) -> list[str]:
        """The shards that changed after a sequence, sorted; also by an erasure."""
        query = "SELECT name FROM shard WHERE sequence > ? ORDER BY name"
        return [row[0] for row in self._all(query, sequence)]

    def record(self, subject: str) -> Record:
        """A subject as published."""
        return next(self.records([subject]))

    def records(self, subjects: Iterable[str]) -> Iterator[Record]:
        """The same for many, in their order; a stream: in a `snapshot()` of one moment."""
        waiting = iter(subjects)
        while chunk := list(islice(waiting, CHUNK)):
            people, blobs = self.among(chunk), self.blobs_among(chunk)
            for subject in chunk:
                if subject not in people:
                    raise unknown(subject)
                person = people[subject]
                yield record_of(person, person.revision, blobs.get(subject, {}))

    def blobs_among(self, subjects: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """The stored templates of some subjects, by encoder id."""
        found: dict[str, dict[str, bytes]] = {}
        for subject, encoder, blob in self._all(TEMPLATES + AMONG, _json(subjects)):
            found.setdefault(subject, {})[encoder] = blob
        return found

    def head(self, issued_at_s: float) -> Head:
        """The head to sign. Raises FleetError where nothing was ever enrolled."""
        with self.snapshot():
            sequence = self.sequence
            rows = self._all("SELECT count, digest FROM shard ORDER BY name")
        if not sequence:
            raise FleetError("the registry is empty: nobody was ever enrolled", "enroll somebody")
        return Head(sequence, issued_at_s, tuple(Sum(count, digest) for count, digest in rows))

    def index(self, shard: str) -> Index:
        """The index of a shard. Raises FleetError for one that never had an entry."""
        with self.snapshot():
            found = self._all("SELECT sequence FROM shard WHERE name = ?", shard)
            rows = self._all(
                "SELECT subject, revision FROM person WHERE shard = ? ORDER BY subject", shard
            )
        if not found or not found[0][0]:
            raise FleetError(f"nothing was ever enrolled in shard {shard!r}")
        return Index(shard, found[0][0], tuple((s, r) for s, r in rows))

    def person(self, subject: str) -> Person | None:
        """Somebody, also who is revoked; None for an id that was never seen or is erased."""
        return self.among([subject]).get(subject)

    def among(self, subjects: Sequence[str]) -> dict[str, Person]:
        """Those of some subjects who are known, also who is revoked."""
        with self.snapshot():
            encoders = _by_subject(self._all(ENCODERS + AMONG + ORDERED, _json(subjects)))
            rows = self._all(PEOPLE + AMONG, _json(subjects))
        return {row[0]: person_from(row, encoders.get(row[0], ())) for row in rows}

    def people(self) -> list[Person]:
        """Everybody by id, also who is revoked (`gone`)."""
        with self.snapshot():
            encoders = _by_subject(self._all(ENCODERS + ORDERED))
            rows = self._all(PEOPLE + " ORDER BY subject")
        return [person_from(row, encoders.get(row[0], ())) for row in rows]

    def templates(self, encoder: str) -> list[tuple[str, Floats]]:
        """(subject, (1, dim) float32) of everybody with a template of an encoder, by id."""
        rows = self._all(
            "SELECT subject, embedding FROM template WHERE encoder = ? ORDER BY subject", encoder
        )
        return [(s, np.frombuffer(blob, "<f4").astype(np.float32)[None]) for s, blob in rows]

    def coverage(self) -> dict[str, int]:
        """How many people have a template, by encoder id."""
        return dict(self._all("SELECT encoder, count(*) FROM template GROUP BY encoder"))

    def lacking(self, encoder: str) -> list[str]:
        """Who is not revoked and has no template of an encoder, by id."""
        rows = self._all(
            "SELECT subject FROM person WHERE gone = 0 AND subject NOT IN"
            " (SELECT subject FROM template WHERE encoder = ?) ORDER BY subject",
            encoder,
        )
        return [row[0] for row in rows]

    def touched(self, after: int, until: int) -> set[str]:
        """Who was changed at a sequence above the one and not above the other."""
        rows = self._all(
            "SELECT DISTINCT subject FROM audit WHERE sequence > ? AND sequence <= ?"
            " AND subject IS NOT NULL",
            after,
            until,
        )
        return {row[0] for row in rows}

    def trail(self, subject: str | None = None) -> list[Entry]:
        """What was changed, oldest first; of one subject or in all."""
        if subject is None:
            return [Entry(*row) for row in self._all(TRAIL + " ORDER BY id")]
        rows = self._all(TRAIL + " WHERE subject = ? ORDER BY id", subject)
        return [Entry(*row) for row in rows]

    def devices(self) -> list[str]:
        """The devices that were provisioned, by id."""
        return [row[0] for row in self._all("SELECT id FROM device WHERE NOT removed ORDER BY id")]

    def removed_devices(self) -> list[str]:
        """Those that are no more, by id: what the broker still keeps of them counts for nothing."""
        return [row[0] for row in self._all("SELECT id FROM device WHERE removed ORDER BY id")]

    def erasures(self) -> list[Erasure]:
        """The erasures that wait for receipts, oldest first."""
        rows = self._all("SELECT sequence, shard FROM erasure ORDER BY sequence")
        return [Erasure(*row) for row in rows]

    def pending_erasures(self) -> list[int]:
        """Their sequences: the id itself is gone."""
        return [erasure.sequence for erasure in self.erasures()]

    def _counter(self, name: str) -> int:
        return int(self._all("SELECT value FROM counter WHERE name = ?", name)[0][0])

    def _all(self, query: str, *values: object) -> list[Row]:
        with self._named():
            return self._database.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """SQLite's errors by who must act."""
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise busy() from error
            raise StoreError(
                f"{self.path}: {error}", "check the disk's free space and rights"
            ) from error


def busy() -> FleetError:
    return FleetError("another ostiary-fleet is writing to the registry", "try again")


def unknown(subject: str) -> FleetError:
    return FleetError(f"{subject!r} is not enrolled", "`ostiary-fleet list` shows who is")


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()


def _by_subject(rows: list[Row]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for subject, encoder in rows:
        found[subject] = (*found.get(subject, ()), encoder)
    return found
