"""The journal of decisions: written before the door opens, and kept until the broker has them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.errors import StoreError

MIGRATIONS = (
    """
    CREATE TABLE decision (
        seq INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        payload BLOB NOT NULL,
        hash BLOB NOT NULL,
        acknowledged INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX pending ON decision (seq) WHERE acknowledged = 0;
    CREATE TABLE anchor (seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
    INSERT INTO anchor VALUES (0, x'')
    """,
)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A journaled payload and its place in the sequence."""

    seq: int
    payload: bytes


class Journal:
    """Hash-chained rows: hash = SHA-256(hash of the row before, payload).

    `anchor` holds the last trimmed row, so that the chain of the remaining rows can be checked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = connect(path, MIGRATIONS)

    def append(self, at: float, payload: Callable[[int], bytes]) -> JournalEntry:
        """Write `payload(next sequence number)`; the entry is on the disk on return.

        Raises StoreError; nothing is recorded then.
        """
        try:
            with atomic(self._database):
                seq, chain = self._last()
                entry = JournalEntry(seq + 1, payload(seq + 1))
                self._database.execute(
                    "INSERT INTO decision (seq, at, payload, hash) VALUES (?, ?, ?, ?)",
                    (entry.seq, at, entry.payload, link(chain, entry.payload)),
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}", "check the disk's free space") from error
        return entry

    def pending(self, after: int, limit: int) -> list[JournalEntry]:
        """The oldest `limit` unacknowledged entries after a sequence number."""
        rows = self._all(
            "SELECT seq, payload FROM decision WHERE acknowledged = 0 AND seq > ?"
            " ORDER BY seq LIMIT ?",
            after,
            limit,
        )
        return [JournalEntry(seq, payload) for seq, payload in rows]

    def pending_count(self) -> int:
        """The number of unacknowledged entries."""
        return int(self._all("SELECT count(*) FROM decision WHERE acknowledged = 0")[0][0])

    def acknowledge(self, seqs: list[int]) -> None:
        """Mark entries that the broker has acknowledged."""
        try:
            with atomic(self._database):
                self._database.executemany(
                    "UPDATE decision SET acknowledged = 1 WHERE seq = ?", [(s,) for s in seqs]
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}", "check the disk's free space") from error

    def trim(self, older_than: float, most_rows: int) -> int:
        """Drop acknowledged entries that are too old or too many, oldest first; returns their
        number."""
        try:
            with atomic(self._database):
                last = self._trim_to(older_than, most_rows)
                if last is None:
                    return 0
                self._database.execute("DELETE FROM anchor")
                self._database.execute(
                    "INSERT INTO anchor SELECT seq, hash FROM decision WHERE seq = ?", (last,)
                )
                gone = self._database.execute("DELETE FROM decision WHERE seq <= ?", (last,))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}", "check the disk's free space") from error
        return gone.rowcount

    def _trim_to(self, older_than: float, most_rows: int) -> int | None:
        """The last entry that may be dropped, before the first one that is not acknowledged."""
        seq, _ = self._last()
        found = self._all(
            # Take only rows before the first young one: if a wrong clock dated a row too early,
            # trimming it must not take younger rows along.
            "SELECT max(seq) FROM decision WHERE (seq <= ? OR seq <"
            " (SELECT coalesce(min(seq), ?) FROM decision WHERE at >= ?)) AND seq <"
            " (SELECT coalesce(min(seq), ?) FROM decision WHERE acknowledged = 0)",
            seq - most_rows,
            seq + 1,
            older_than,
            seq + 1,
        )
        return None if found[0][0] is None else int(found[0][0])

    def broken_at(self) -> int | None:
        """The first entry whose hash does not follow from the one before; None if all do."""
        seq, chain = self._all("SELECT seq, hash FROM anchor")[0]
        for row, payload, written in self._database.execute(
            "SELECT seq, payload, hash FROM decision ORDER BY seq"
        ):
            if row != seq + 1 or written != link(chain, payload):
                return int(row)
            seq, chain = row, written
        return None

    def entries(self) -> list[JournalEntry]:
        """Everything still kept, in order."""
        return [
            JournalEntry(s, p)
            for s, p in self._all("SELECT seq, payload FROM decision ORDER BY seq")
        ]

    def close(self) -> None:
        self._database.close()

    def _last(self) -> tuple[int, bytes]:
        rows = self._all("SELECT seq, hash FROM decision ORDER BY seq DESC LIMIT 1")
        found = rows or self._all("SELECT seq, hash FROM anchor")
        return int(found[0][0]), bytes(found[0][1])

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}", "check the disk's free space") from error


def link(chain: bytes, payload: bytes) -> bytes:
    """The hash of an entry, from the hash of the entry before it and its own payload."""
    return hashlib.sha256(chain + payload).digest()
