"""The subjects, rights and templates of a door without a roster, in SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.core.rules.access import Rights
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
    "ALTER TABLE template ADD COLUMN photos INTEGER NOT NULL DEFAULT 0",
    """
    ALTER TABLE subject ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE subject ADD COLUMN valid_until REAL;
    ALTER TABLE subject ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0
    """,
)

SUBJECTS = (
    "SELECT s.id, s.enrolled_at, s.name, s.valid_until, s.suspended, t.encoder, t.photos"
    " FROM subject s LEFT JOIN template t ON t.subject = s.id"
)
UNIT_TOLERANCE = 1e-4
CHANGED = "changed-at"
"""The counter that holds the time of the last change, in whole seconds since 1970."""

Held = tuple[str, Floats, Rights, int]
"""A subject as the gallery takes it: its (1, dim) template, its rights, and the template's photos,
0 if unknown."""


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A subject of the store, its templates' encoders, its name and its rights.

    Times are in seconds since 1970. `photos` counts the photos behind each template by encoder;
    unknown numbers are left out. `name` is for people only, and never leaves the store. Access ends
    at `valid_until_s`; None means that it never ends.
    """

    subject: str
    enrolled_at: float
    encoders: tuple[str, ...]
    photos: dict[str, int]
    name: str = ""
    valid_until_s: float | None = None
    suspended: bool = False

    @property
    def rights(self) -> Rights:
        """The subject's rights, as the rules of access take them."""
        return Rights(valid_until_s=self.valid_until_s, suspended=self.suspended)


class Store:
    """The store's database. Every call raises StoreError if the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = connect(path, MIGRATIONS)
        self._file = self._identity()

    @contextlib.contextmanager
    def edit(self) -> Iterator[None]:
        """A block in which nobody else writes: all of its changes take effect, or none of them.

        `put` and `change` may be called in it.
        """
        if self._database.in_transaction:
            yield
            return
        try:
            with atomic(self._database):
                yield
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def put(self, template: Template, now: float) -> None:
        """Set a subject's template for its encoder; enrolls the subject if it is new.

        Name and rights of a subject that is enrolled already stay. `now` is in seconds since 1970.
        """
        blob = np.ascontiguousarray(template.embedding, "<f4").tobytes()
        with self.edit():
            self._database.execute(
                "INSERT INTO subject (id, enrolled_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (template.subject, now),
            )
            self._database.execute(
                "INSERT OR REPLACE INTO template (subject, encoder, embedding, photos)"
                " VALUES (?, ?, ?, ?)",
                (template.subject, template.encoder, blob, template.photos),
            )
            self._changed(now)

    def change(self, row: SubjectRow, now: float) -> None:
        """Set the name and the rights of an enrolled subject to those of `row`; the rest stays.
        `now` is in seconds since 1970."""
        with self.edit():
            self._database.execute(
                "UPDATE subject SET name = ?, valid_until = ?, suspended = ? WHERE id = ?",
                (row.name, row.valid_until_s, int(row.suspended), row.subject),
            )
            self._changed(now)

    def remove(self, subject: str) -> bool:
        """Delete a subject and all of its templates; False if the subject is unknown."""
        with self.edit():
            gone = self._database.execute("DELETE FROM subject WHERE id = ?", (subject,))
        try:
            # Empties the write-ahead log, so that the deleted rows are gone from the disk too.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return gone.rowcount > 0

    def subjects(self) -> list[SubjectRow]:
        """Every subject, by id."""
        rows = self._all(f"{SUBJECTS} ORDER BY s.id, t.encoder")
        return [_subject_row(list(its)) for _, its in groupby(rows, lambda row: row[0])]

    def subject(self, subject: str) -> SubjectRow | None:
        """One subject; None if it is not enrolled."""
        rows = self._all(f"{SUBJECTS} WHERE s.id = ? ORDER BY t.encoder", subject)
        return _subject_row(rows) if rows else None

    def templates(self, encoder: str, dim: int) -> tuple[list[Held], list[str]]:
        """Every template of one encoder with its subject's rights, and the subjects whose template
        is damaged: not `dim` values, or not of unit length."""
        found, damaged = [], []
        for subject, blob, photos, valid_until_s, suspended in self._all(
            "SELECT t.subject, t.embedding, t.photos, s.valid_until, s.suspended"
            " FROM template t JOIN subject s ON s.id = t.subject WHERE t.encoder = ?",
            encoder,
        ):
            rights = Rights(valid_until_s=valid_until_s, suspended=bool(suspended))
            row = np.frombuffer(blob[: len(blob) // 4 * 4], "<f4").astype(np.float32)[None]
            if len(blob) == 4 * dim and abs(float(np.linalg.norm(row)) - 1) < UNIT_TOLERANCE:
                found.append((subject, row, rights, photos))
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

    def changed_s(self) -> float:
        """The time of the last change of subjects or templates, in seconds since 1970; 0 if that
        was before such times were kept."""
        rows = self._all("SELECT value FROM counter WHERE name = ?", CHANGED)
        return float(rows[0][0]) if rows else 0.0

    def version(self) -> int:
        """A number that changes when another process wrote to the store.

        Raises StoreError also if the file is not the one that was opened: what is written to the
        new file, such as a suspension, would not be seen here.
        """
        if self._identity() != self._file:
            raise StoreError(f"{self.path} was replaced by another file", "restart the service")
        return int(self._all("PRAGMA data_version")[0][0])

    def close(self) -> None:
        self._database.close()

    def _changed(self, now: float) -> None:
        """Keep the time of a change. It never falls: a board whose clock starts in 1970 would else
        forget that it has been later, and let in people whose access has ended."""
        self._database.execute(
            "INSERT INTO counter VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            (CHANGED, int(now)),
        )

    def _identity(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror}", "check the disk; then restart the service"
            ) from error
        return found.st_dev, found.st_ino

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{self.path}: {error}", "check the disk's free space and rights")


def _subject_row(rows: list[tuple[Any, ...]]) -> SubjectRow:
    """A subject from a row of SUBJECTS for each template; without a template, encoder and photos
    are None."""
    subject, at, name, valid_until_s, suspended = rows[0][:5]
    held = {encoder: photos for *_, encoder, photos in rows if encoder is not None}
    counted = {encoder: photos for encoder, photos in held.items() if photos}
    return SubjectRow(subject, at, tuple(held), counted, name, valid_until_s, bool(suspended))
