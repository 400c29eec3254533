"""The registry's roster: what to publish, and how far publishing has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from ostiary.edge.roster.record import Head, Index, Record, Sum
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.database import RegistryDatabase
from ostiary.fleet.registry.people import PeopleReader, unknown
from ostiary.fleet.registry.person import record_of

CHUNK = 500
"""The most records in memory at once."""


class RosterReader:
    """Reads from the registry what publishing needs: records, indexes, the head, and changes."""

    def __init__(self, database: RegistryDatabase, people: PeopleReader) -> None:
        self._database, self._people = database, people

    @property
    def sequence(self) -> int:
        """The number of the last change to the roster; 0 if there was none."""
        return self._counter("sequence")

    @property
    def published(self) -> int:
        """The sequence that the broker was last made equal to; 0 if it never was."""
        return self._counter("published")

    @property
    def attempted(self) -> int:
        """The highest number that publishing ever began to send, or took over.

        If the broker has a higher one, another registry signed it, even if `sequence` is past it by
        now.
        """
        return self._counter("attempted")

    def entries(self) -> dict[str, int]:
        """The revision of every subject, revoked people included."""
        return dict(self._database.query("SELECT subject, revision FROM person"))

    def changed_since(self, sequence: int) -> list[str]:
        """The subjects with a revision above a sequence, lowest first; erased subjects are left
        out."""
        query = "SELECT subject FROM person WHERE revision > ? ORDER BY revision"
        return [row[0] for row in self._database.query(query, sequence)]

    def changed_shards(self, sequence: int) -> list[str]:
        """The shards that changed after a sequence, sorted; an erasure is a change as well."""
        query = "SELECT name FROM shard WHERE sequence > ? ORDER BY name"
        return [row[0] for row in self._database.query(query, sequence)]

    def touched(self, after: int, until: int) -> set[str]:
        """The subjects that had a change with `after` < sequence <= `until`."""
        rows = self._database.query(
            "SELECT DISTINCT subject FROM audit WHERE sequence > ? AND sequence <= ?"
            " AND subject IS NOT NULL",
            after,
            until,
        )
        return {row[0] for row in rows}

    def record(self, subject: str) -> Record:
        """A subject's record to publish. Raises FleetError for an unknown subject."""
        return next(self.records([subject]))

    def records(self, subjects: Iterable[str]) -> Iterator[Record]:
        """The records of many subjects, in the order given.

        They are read in chunks, which show the same state only within a `snapshot()`.
        """
        waiting = iter(subjects)
        while chunk := list(islice(waiting, CHUNK)):
            people, blobs = self._people.among(chunk), self._people.blobs_among(chunk)
            for subject in chunk:
                if subject not in people:
                    raise unknown(subject)
                person = people[subject]
                yield record_of(person, person.revision, blobs.get(subject, {}))

    def index(self, shard: str) -> Index:
        """The index of a shard. Raises FleetError if nobody was ever enrolled in the shard."""
        with self._database.snapshot():
            found = self._database.query("SELECT sequence FROM shard WHERE name = ?", shard)
            rows = self._database.query(
                "SELECT subject, revision FROM person WHERE shard = ? ORDER BY subject", shard
            )
        if not found or not found[0][0]:
            raise FleetError(f"nobody was ever enrolled in shard {shard!r}")
        return Index(shard, found[0][0], tuple((s, r) for s, r in rows))

    def head(self, issued_at_s: float) -> Head:
        """The head to sign. Raises FleetError if nobody was ever enrolled."""
        with self._database.snapshot():
            sequence = self.sequence
            rows = self._database.query("SELECT count, digest FROM shard ORDER BY name")
        if not sequence:
            raise FleetError("the registry is empty: nobody was ever enrolled", "enroll somebody")
        return Head(sequence, issued_at_s, tuple(Sum(count, digest) for count, digest in rows))

    def _counter(self, name: str) -> int:
        rows = self._database.query("SELECT value FROM counter WHERE name = ?", name)
        return int(rows[0][0])
