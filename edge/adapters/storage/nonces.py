"""The nonces of accepted commands, on the disk before a command is carried out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.errors import StoreError

MIGRATIONS = (
    """
    CREATE TABLE nonce (
        number INTEGER PRIMARY KEY,
        value BLOB NOT NULL UNIQUE,
        expires_at REAL NOT NULL
    ) STRICT
    """,
)
KEPT = 10_000


class Nonces:
    """Keeps the last `kept` nonces, and older ones until they expire."""

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self.path = path
        self._kept = kept
        self._database = connect(path, MIGRATIONS)

    def take(self, nonce: bytes, expires_at_s: float, now_s: float) -> bool:
        """Store a nonce, durable on return; False if it was known already.

        Raises StoreError; nothing is stored then.
        """
        try:
            with atomic(self._database):
                known = self._database.execute("SELECT 1 FROM nonce WHERE value = ?", (nonce,))
                if known.fetchone() is not None:
                    return False
                self._database.execute(
                    "INSERT INTO nonce (value, expires_at) VALUES (?, ?)", (nonce, expires_at_s)
                )
                # The last `kept` nonces stay whatever their age: a wrong clock must not make a
                # nonce new again.
                self._database.execute(
                    "DELETE FROM nonce WHERE number <= (SELECT max(number) FROM nonce) - ?"
                    " AND expires_at < ?",
                    (self._kept, now_s),
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}", "check the disk's free space") from error
        return True

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM nonce").fetchone()[0])

    def close(self) -> None:
        self._database.close()
