"""The registry's SQLite file; its failures become errors that name who must act."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.errors import StoreError
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.schema import MIGRATIONS

AMONG = " WHERE subject IN (SELECT value FROM json_each(?))"
"""Limits a query to the subjects of a list; `as_list` turns the list into the query's value."""
BUSY_S = 5.0
Row = tuple[Any, ...]


class RegistryDatabase:
    """One connection to the registry's file, used by one thread.

    Its methods raise FleetError if another process holds the file for longer than `busy_s`, and
    StoreError if the disk fails.
    """

    def __init__(self, path: Path, busy_s: float = BUSY_S) -> None:
        self.path = path
        try:
            self._connection = connect(path, MIGRATIONS)
        except StoreError as error:
            raise (_busy() if "locked" in error.message else error) from error
        self._connection.execute(f"PRAGMA busy_timeout = {int(busy_s * 1000)}")

    def close(self) -> None:
        self._connection.close()

    def query(self, statement: str, *values: object) -> list[Row]:
        """All rows that a SELECT finds."""
        with self._named():
            return self._connection.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """Run one statement, which is its own transaction."""
        with self._named():
            self._connection.execute(statement, values)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every read in the block see the same state, whatever other processes write meanwhile.

        Nothing can be written through this connection in the block. A block within another one sees
        the state of the outer one.
        """
        if self._connection.in_transaction:
            yield
            return
        with self._named():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all of the block's statements, or none of them if it raises."""
        with self._named(), atomic(self._connection):
            yield self._connection

    def wipe(self) -> bool:
        """Rewrite the file, so that no copy of a deleted row is left in its unused parts.

        False if another process uses the file or the disk is full; a later call can still do it.
        """
        with contextlib.suppress(FleetError, StoreError):
            self.execute("VACUUM")
            ((in_use, *_),) = self.query("PRAGMA wal_checkpoint(TRUNCATE)")
            return not in_use
        return False

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise _busy() from error
            raise StoreError(
                f"{self.path}: {error}", "check the disk's free space and rights"
            ) from error


def as_list(values: Sequence[str]) -> str:
    """Subjects as the value that `AMONG` takes."""
    return msgspec.json.encode(values).decode()


def _busy() -> FleetError:
    return FleetError("another ostiary-fleet is writing to the registry", "try again")
