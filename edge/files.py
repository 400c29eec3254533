"""Atomic writes of files and folders (temp, fsync, rename), and file names as text."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def as_text(name: str) -> str:
    """A file's name as printable text: a byte that is not UTF-8 appears as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that after a power cut it holds either all old or all new bytes.

    Raises OSError; the old file is then untouched and no temporary file is left.
    """
    # mkstemp would let only the owner read the file, and others must read it too.
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        # Name the requested file in the error, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)


def replace_dir(staged: Path, target: Path) -> None:
    """Move a finished directory to `target`, replacing an existing one.

    For a moment between two renames nothing is at `target`; it never holds a mixture of both.
    """
    for file in staged.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    sync_dir(staged)
    target = target.resolve()
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync_dir(target.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def alone(folder: Path, busy: Exception) -> Iterator[None]:
    """Lock a folder during the block. Raises `busy` if another process has locked the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        yield
    finally:
        os.close(descriptor)


def sync_dir(path: Path) -> None:
    """Make a rename in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
