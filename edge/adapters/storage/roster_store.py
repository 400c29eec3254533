"""The roster on the disk, encrypted: records as they were received, and what templates learned."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.adapters.storage.sqlite import BUSY_S, atomic, connect
from ostiary.edge.errors import StoreError

MIGRATIONS = (
    """
    CREATE TABLE record (
        subject TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE head (only INTEGER PRIMARY KEY CHECK (only = 1), payload BLOB NOT NULL) STRICT;
    CREATE TABLE held (only INTEGER PRIMARY KEY CHECK (only = 1), digest TEXT NOT NULL) STRICT
    """,
    # Whatever replaces or deletes a record deletes what its template learned, in the same
    # transaction: a new revision, a tombstone, an erasure, a withdrawn consent.
    """
    CREATE TABLE learned (
        number INTEGER PRIMARY KEY,
        subject TEXT NOT NULL REFERENCES record ON DELETE CASCADE,
        revision INTEGER NOT NULL,
        encoder TEXT NOT NULL,
        at REAL NOT NULL,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE INDEX learned_of ON learned (subject)
    """,
)


@dataclass(frozen=True, slots=True)
class RosterRow:
    """A subject's record as it is stored."""

    subject: str
    revision: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LearnedRow:
    """A sample that a template learned at `at_s` (seconds since 1970), sealed; it belongs to one
    encoder and to one revision of the subject's record."""

    subject: str
    revision: int
    encoder: str
    at_s: float
    payload: bytes


class RosterStore:
    """The roster's database. Every call raises StoreError if the disk fails."""

    def __init__(self, path: Path, mends: bool = False) -> None:
        """With `mends` a file that is no database is replaced: the broker has its content."""
        self.path = path
        try:
            self._database = connect(path, MIGRATIONS)
        except StoreError as error:
            if not mends or not self.damaged(error):
                raise
            self._remove()
            self._database = connect(path, MIGRATIONS)

    @staticmethod
    def damaged(error: StoreError) -> bool:
        """True if SQLite found the file itself damaged. For a full disk or a locked file it raises
        subclasses of DatabaseError."""
        return type(error.__cause__) is sqlite3.DatabaseError

    def begin_anew(self) -> None:
        """Replace a damaged file by an empty one. No copy is kept: it could hold erased people."""
        self._database.close()
        self._remove()
        self._database = connect(self.path, MIGRATIONS)

    def _remove(self) -> None:
        try:
            for ending in ("", "-wal", "-shm"):
                self.path.with_name(f"{self.path.name}{ending}").unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {self.path}: {error.strerror}") from error

    def apply(
        self, rows: Sequence[RosterRow], dropped: Sequence[str], head: bytes | None, digest: str
    ) -> None:
        """Insert or replace rows, delete the `dropped` subjects, replace the head if one is given.

        If one of these fails, none takes effect. `digest` is that of all records stored afterwards.
        """
        try:
            with atomic(self._database):
                run = self._database.executemany
                run("DELETE FROM record WHERE subject = ?", [(subject,) for subject in dropped])
                run(
                    "INSERT OR REPLACE INTO record VALUES (?, ?, ?)",
                    [(row.subject, row.revision, row.payload) for row in rows],
                )
                if head is not None:
                    run("INSERT OR REPLACE INTO head VALUES (1, ?)", [(head,)])
                run("INSERT OR REPLACE INTO held VALUES (1, ?)", [(digest,)])
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def clear(self) -> None:
        """Delete everything."""
        try:
            with atomic(self._database):
                for table in ("record", "head", "held"):
                    self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self.scrub()

    def scrub(self) -> bool:
        """Empty the write-ahead log, so that deleted records are gone from the disk too.

        Returns False at once if another process is reading; then call it again later.
        """
        try:
            self._database.execute("PRAGMA busy_timeout = 0")
            (row,) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._database.execute(f"PRAGMA busy_timeout = {1000 * BUSY_S:.0f}")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return not row[0]

    def head(self) -> bytes | None:
        """The newest head, sealed."""
        rows = self._all("SELECT payload FROM head")
        return bytes(rows[0][0]) if rows else None

    def digest(self) -> str:
        """The digest that was given with the last change; empty if there was none."""
        rows = self._all("SELECT digest FROM held")
        return str(rows[0][0]) if rows else ""

    def rows(self) -> Iterable[RosterRow]:
        """Every record, one by one: 100,000 records would take too much memory at once."""
        try:
            for row in self._database.execute("SELECT subject, revision, payload FROM record"):
                yield RosterRow(*row)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def learn(self, row: LearnedRow, most: int) -> bool:
        """Store a sample, and delete the subject's oldest ones beyond `most`; durable on return.

        False, and nothing is stored, if the subject's record is no longer of the row's revision.
        """
        try:
            with atomic(self._database):
                added = self._database.execute(
                    "INSERT INTO learned (subject, revision, encoder, at, payload)"
                    " SELECT subject, revision, ?, ?, ? FROM record"
                    " WHERE subject = ? AND revision = ?",
                    (row.encoder, row.at_s, row.payload, row.subject, row.revision),
                )
                self._database.execute(
                    "DELETE FROM learned WHERE subject = ?1 AND number NOT IN (SELECT number"
                    " FROM learned WHERE subject = ?1 ORDER BY number DESC LIMIT ?2)",
                    (row.subject, most),
                )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return added.rowcount > 0

    def learned(self, subject: str = "") -> list[LearnedRow]:
        """The samples of a subject, the oldest first; without a subject those of everybody."""
        rows = self._all(
            "SELECT subject, revision, encoder, at, payload FROM learned"
            " WHERE subject = ?1 OR ?1 = '' ORDER BY number",
            subject,
        )
        return [LearnedRow(*row) for row in rows]

    def learners(self) -> set[str]:
        """The subjects that have samples."""
        return {str(row[0]) for row in self._all("SELECT DISTINCT subject FROM learned")}

    def unlearn(self, subject: str = "", kept: str = "") -> int:
        """Delete the samples of a subject, or of everybody, from the disk too, and return how many
        subjects lost theirs. Samples of the encoder `kept` stay."""
        which = "(subject = ?1 OR ?1 = '') AND encoder != ?2"
        try:
            with atomic(self._database):
                run = self._database.execute
                counted = f"SELECT count(DISTINCT subject) FROM learned WHERE {which}"  # noqa: S608
                ((count,),) = run(counted, (subject, kept)).fetchall()
                run(f"DELETE FROM learned WHERE {which}", (subject, kept))  # noqa: S608
            # Empties the write-ahead log, so that the deleted rows are gone from the disk too.
            run("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return int(count)

    def version(self) -> int:
        """A number that changes when another process wrote to the store."""
        return int(self._all("PRAGMA data_version")[0][0])

    def close(self) -> None:
        self._database.close()

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{self.path}: {error}", "check the disk's free space and rights")
