"""Atomic writes of files and folders (temp, fsync, rename), names, lists, relative paths, JSON."""

from __future__ import annotations

import codecs
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

Section = TypeVar("Section", bound=msgspec.Struct)


def to_json(document: object) -> bytes:
    """A document as indented JSON that ends its last line; equal documents give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def as_text(name: str) -> str:
    """A file's name as printable text: a byte that is not UTF-8 appears as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


def without_mark(data: bytes) -> bytes:
    """A text file's bytes without the byte-order mark that Windows programs put first."""
    return data.removeprefix(codecs.BOM_UTF8)


def list_text(path: Path) -> str:
    """The text of a list in UTF-8, with or without a byte-order mark.

    Raises OSError and UnicodeDecodeError.
    """
    return without_mark(path.read_bytes()).decode()


def trimmed(cells: Sequence[str], least: int = 0) -> list[str]:
    """A table's row without blanks around its cells, and without empty cells at its end.

    `least` cells are kept: spreadsheets write the empty columns beside a table, too.
    """
    found = [cell.strip() for cell in cells]
    while len(found) > least and not found[-1]:
        found.pop()
    return found


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


def anchored(section: Section, folder: Path) -> Section:
    """A struct with every relative path in it, at any depth, joined to a folder.

    Paths are fields of type Path, and the fields `url` and `source`.
    """
    changed: dict[str, object] = {}
    for name, value in msgspec.structs.asdict(section).items():
        if isinstance(value, msgspec.Struct):
            changed[name] = anchored(value, folder)
        elif isinstance(value, Path):
            changed[name] = folder / value
        elif name in ("url", "source"):
            changed[name] = _anchored_url(value, folder)
    return msgspec.structs.replace(section, **changed)


def _anchored_url(url: str, folder: Path) -> str:
    """A URL with a relative path in it joined to a folder; other URLs unchanged."""
    kind, colon, rest = url.partition(":")
    if kind in ("folder", "file", "line", "evdev", "v4l2") and rest:
        return f"{kind}:{folder / rest}"
    return url if colon or not url else str(folder / url)
