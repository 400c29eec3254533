"""One edit of the registry: numbers each change, and updates the sums of the shards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from ostiary.edge.roster.record import shard_of, sum_of
from ostiary.fleet.registry.person import Blobs, Person, row_of

UPSERT = """
    INSERT INTO person (subject, name, groups, valid_from, valid_until, schedule, suspended,
        learns, revision, gone, enrolled_at, shard)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET name = excluded.name, groups = excluded.groups,
        valid_from = excluded.valid_from, valid_until = excluded.valid_until,
        schedule = excluded.schedule, suspended = excluded.suspended, learns = excluded.learns,
        revision = excluded.revision, gone = excluded.gone, enrolled_at = excluded.enrolled_at
"""


class Edit:
    """The writes of one edit, within a transaction that the caller begins and ends.

    Call `finish` last. `who` is the operator's name in the trail.
    """

    def __init__(self, database: sqlite3.Connection, now_s: float, who: str) -> None:
        self.now_s = now_s
        self._database, self._who = database, who
        counters = dict(database.execute("SELECT name, value FROM counter").fetchall())
        self.sequence, self.attempted = int(counters["sequence"]), int(counters["attempted"])
        self._touched: set[str] = set()

    def next(self, subject: str) -> int:
        """Take the next sequence number for a change of a subject."""
        self.sequence += 1
        self._touched.add(shard_of(subject))
        return self.sequence

    def write(self, person: Person, what: str) -> int:
        """Write a person at a new revision; returns the revision."""
        revision = self.next(person.subject)
        row = row_of(msgspec.structs.replace(person, revision=revision))
        self._database.execute(UPSERT, (*row, shard_of(person.subject)))
        self.note(what, person.subject)
        return revision

    def templates(self, subject: str, blobs: Blobs) -> None:
        """Replace all templates of a subject."""
        self._database.execute("DELETE FROM template WHERE subject = ?", (subject,))
        rows = [(subject, encoder, blob.raw, blob.photos) for encoder, blob in blobs.items()]
        self._database.executemany(
            "INSERT INTO template (subject, encoder, embedding, photos) VALUES (?, ?, ?, ?)", rows
        )

    def erase(self, subject: str) -> int:
        """Delete every row that names a subject; returns the sequence of the erasure."""
        self._database.execute("DELETE FROM person WHERE subject = ?", (subject,))
        self._database.execute("DELETE FROM audit WHERE subject = ?", (subject,))
        sequence = self.next(subject)
        self._database.execute("INSERT INTO erasure VALUES (?, ?)", (sequence, shard_of(subject)))
        self.note("erased", None)
        return sequence

    def renumber(self, above: int) -> None:
        """Give every subject a revision above a number that was seen at the broker or a device.

        Subjects keep their order. Unconfirmed erasures get new numbers as well: otherwise a device
        with a newer roster would seem to have confirmed them.
        """
        self.attempted = max(self.attempted, above)
        self.sequence = max(self.sequence, above)
        for old, shard in self._erasures():
            self.sequence += 1
            self._database.execute("DELETE FROM erasure WHERE sequence = ?", (old,))
            self._database.execute("INSERT INTO erasure VALUES (?, ?)", (self.sequence, shard))
        rows = self._database.execute("SELECT subject FROM person ORDER BY revision").fetchall()
        numbered = [(self.next(subject), subject) for (subject,) in rows]
        self._database.executemany("UPDATE person SET revision = ? WHERE subject = ?", numbered)
        if not numbered:
            self.sequence += 1
        # Include shards that are empty by now: every index must be published anew.
        self._touched |= {row[0] for row in self._database.execute("SELECT name FROM shard")}
        self.note("renumbered", None)

    def restore(self, person: Person, blobs: Blobs) -> None:
        """Write a person with the revision they already have."""
        self._touched.add(shard_of(person.subject))
        self._database.execute(UPSERT, (*row_of(person), shard_of(person.subject)))
        if blobs:
            self.templates(person.subject, blobs)

    def insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run a statement once for each row of values."""
        self._database.executemany(statement, rows)

    def note(self, what: str, subject: str | None) -> None:
        """Add an entry to the trail."""
        self._database.execute(
            "INSERT INTO audit (at, who, what, subject, sequence) VALUES (?, ?, ?, ?, ?)",
            (self.now_s, self._who, what, subject, self.sequence),
        )

    def finish(self) -> None:
        """Write the sums of the shards that changed, and the counters."""
        for shard in sorted(self._touched):
            entries = dict(
                self._database.execute(
                    "SELECT subject, revision FROM person WHERE shard = ?", (shard,)
                ).fetchall()
            )
            summed = sum_of(entries)
            self._database.execute(
                "UPDATE shard SET sequence = ?, count = ?, digest = ? WHERE name = ?",
                (self.sequence, summed.count, summed.digest, shard),
            )
        counters = [(self.sequence, "sequence"), (self.attempted, "attempted")]
        self._database.executemany("UPDATE counter SET value = ? WHERE name = ?", counters)

    def _erasures(self) -> list[tuple[int, str]]:
        return self._database.execute("SELECT * FROM erasure ORDER BY sequence").fetchall()
