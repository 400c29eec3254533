"""The state directory: its files' names, and the lock that lets in one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ostiary.edge.errors import OstiaryError, StoreError

STORE, JOURNAL, LOCK = "store.db", "journal.db", "lock"
ROSTER, COMMANDS = "roster.db", "commands.db"


def only_one(folder: Path) -> int:
    """Lock the state directory and return the lock's open descriptor: two daemons on one journal
    would break its order.

    Raises OstiaryError if another daemon holds the lock, StoreError if the folder is unusable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot use the state directory {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OstiaryError(f"another ostiary runs on {folder}", "stop it first") from error
    return descriptor
