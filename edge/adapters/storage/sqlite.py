"""Opens SQLite databases: durable commits, transactions (`atomic`), and migrations."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ostiary.edge.errors import StoreError

BUSY_S = 10.0
"""How long to wait for another process that has locked a database."""


def connect(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open or create a database and bring it to the newest schema.

    Raises StoreError if the database cannot be opened or was written by a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
        _write_ahead(database)
        # FULL: a commit is on the disk when it returns, so a power cut loses nothing committed.
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")
        path.chmod(0o600)
        _migrate(database, path, migrations)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"cannot open {path}: {error}", "check the disk's free space and rights"
        ) from error
    return database


def _write_ahead(database: sqlite3.Connection) -> None:
    """Keep a write-ahead log, so that readers and a writer do not wait for each other.

    If two processes do this at the same time on a new database, both hold a read lock and want to
    write. SQLite then refuses one of them at once ("locked"); that one tries again here.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # The text is compared, since Python before 3.11 does not give the error's code.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(database: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    if _version(database) == len(migrations):
        # Nothing to do, so no lock: a reader must not wait for a process that writes for long.
        return
    with atomic(database):
        version = _version(database)
        if version > len(migrations):
            raise StoreError(f"{path} was written by a newer version of Ostiary", "upgrade")
        for number, script in enumerate(migrations[version:], version + 1):
            for statement in script.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {number}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def atomic(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction: all of the block's statements take effect, or none of them."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite may have rolled back already; a second rollback would hide the first
        # error.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
