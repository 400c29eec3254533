"""The device's subjects and templates, in SQLite, each bound to its encoder."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.core.types import Floats, Template
from ostiary.edge.errors import StoreError

MIGRATIONS = (
    """
    CREATE TABLE subject (id TEXT PRIMARY KEY, enrolled_at REAL NOT NULL) STRICT;
    CREATE TABLE template (
        subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
        encoder TEXT NOT NULL,
        embedding BLOB NOT NULL,
        PRIMARY KEY (subject, encoder)
    ) STRICT;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT
    """,
)

UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A subject, when it was enrolled (seconds since 1970), and its templates' encoders."""

    subject: str
    enrolled_at: float
    encoders: tuple[str, ...]


class Store:
    """The store's database. Every call raises StoreError if the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = connect(path, MIGRATIONS)

    def put(self, template: Template, now: float) -> None:
        """Set a subject's template for its encoder; enrolls the subject if it is new."""
        blob = np.ascontiguousarray(template.embedding, "<f4").tobytes()
        try:
            with atomic(self._database):
                self._database.execute(
                    "INSERT INTO subject VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (template.subject, now),
                )
                self._database.execute(
                    "INSERT OR REPLACE INTO template VALUES (?, ?, ?)",
                    (template.subject, template.encoder, blob),
                )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def remove(self, subject: str) -> bool:
        """Delete a subject and all of its templates; False if the subject is unknown."""
        try:
            with atomic(self._database):
                gone = self._database.execute("DELETE FROM subject WHERE id = ?", (subject,))
            # Empties the write-ahead log, so that the deleted rows are gone from the disk too.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return gone.rowcount > 0

    def subjects(self) -> list[SubjectRow]:
        """Every subject, by id."""
        rows = self._all(
            "SELECT s.id, s.enrolled_at, group_concat(t.encoder) FROM subject s"
            " LEFT JOIN template t ON t.subject = s.id GROUP BY s.id ORDER BY s.id"
        )
        return [SubjectRow(s, at, tuple((e or "").split(",")) if e else ()) for s, at, e in rows]

    def templates(self, encoder: str, dim: int) -> tuple[list[tuple[str, Floats]], list[str]]:
        """Every template of one encoder as (subject, (1, dim) float32), and the subjects whose
        template is damaged: not `dim` values, or not of unit length."""
        found, damaged = [], []
        for subject, blob in self._all(
            "SELECT subject, embedding FROM template WHERE encoder = ?", encoder
        ):
            row = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4").astype(np.float32)[None]
            if len(blob) == 4 * dim and abs(float(np.linalg.norm(row)) - 1) < UNIT_TOLERANCE:
                found.append((subject, row))
            else:
                damaged.append(subject)
        return found, damaged

    def unusable(self, encoder: str) -> list[str]:
        """The subjects that have templates, but none of this encoder."""
        rows = self._all(
            "SELECT DISTINCT subject FROM template WHERE subject NOT IN"
            " (SELECT subject FROM template WHERE encoder = ?) ORDER BY subject",
            encoder,
        )
        return [row[0] for row in rows]

    def count(self, name: str) -> int:
        """Add one to a counter that outlives the process, and return its new value."""
        try:
            with atomic(self._database):
                self._database.execute(
                    "INSERT INTO counter VALUES (?, 1) ON CONFLICT DO UPDATE SET value = value + 1",
                    (name,),
                )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return int(self._all("SELECT value FROM counter WHERE name = ?", name)[0][0])

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
