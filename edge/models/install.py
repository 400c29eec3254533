"""Installs a bundle in place of another, only if the new one is complete, verified and proven."""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from ostiary.edge.errors import BundleError, OstiaryError
from ostiary.edge.files import alone, replace_dir
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import GOLDEN, MANIFEST, Bundle
from ostiary.edge.runtime.signature import SIGNATURE, Keys

MAX_FILES = 64
MAX_BYTES = 512 << 20
"""The most that a bundle may unpack to: a hostile archive must not fill the device's disk."""
Prove = Callable[[Bundle], object]
"""A function that raises an OstiaryError if a bundle does not compute what it should."""

_AGAIN = "copy the file again, or pack the bundle again with ostiary-export"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods unpack without a limit
_ENCRYPTED = 0x41
_CHUNK = 1 << 20
_MAX_DIRECTORY = 64 << 10
# What zipfile raises, besides OSError, for bytes that are no zip file.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def install(
    archive: Path,
    target: Path,
    keys: Keys | None = None,
    backend: str = "auto",
    prove: Prove | None = None,
) -> Bundle:
    """Verify a packed bundle or a bundle directory, then replace `target` by it.

    `prove` by default checks the golden vectors on `backend`. Raises OstiaryError; `target` is then
    unchanged, and no other files are left behind.
    """
    target = target.resolve()
    _check_target(archive.resolve(), target)
    try:
        busy = BundleError(f"another bundle is being installed in {target.parent}", "try later")
        with alone(target.parent, busy), _staging(archive, target) as staged:
            bundle = stage(archive, staged, keys)
            (prove or _golden(backend))(bundle)
            replace_dir(staged, target)
    except OSError as error:
        raise BundleError(
            f"cannot install {archive} as {target}: {error.strerror or error}",
            f"{target.parent} must exist, be writable and have room for a second bundle",
        ) from error
    return replace(bundle, path=target)


def stage(archive: Path, folder: Path, keys: Keys | None = None) -> Bundle:
    """Copy a bundle into an empty folder and verify the copy, which nobody else can change.

    Of a directory, only files that its manifest names are copied; an archive must hold no others.
    """
    if archive.is_dir():
        copy_dir(bundles.load(archive, keys), folder)
    else:
        unpack(archive, folder)
    bundle = bundles.load(folder, keys)
    unsigned = {path.name for path in folder.iterdir()} - contents(bundle)
    if unsigned:
        raise BundleError(
            f"{archive} holds {', '.join(sorted(unsigned))}, which its manifest does not name",
            "these files are not signed; pack the bundle with ostiary-export",
        )
    return bundle


def contents(bundle: Bundle) -> set[str]:
    """The files of a bundle: the manifest, its signature and all files that it names."""
    return {MANIFEST, SIGNATURE, *bundle.manifest.files}


def check_names(where: Path, names: Collection[str]) -> None:
    """Raise BundleError for too many names, a name that is not plain, or one that occurs twice."""
    if len(names) > MAX_FILES:
        raise BundleError(f"{where} has {len(names)} files, a bundle at most {MAX_FILES}")
    seen: set[str] = set()
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise BundleError(
                f"{where} names {name!r}, which is not a plain file name",
                "use letters, digits, dot, - and _, and no folders",
            )
        # A memory card's file system may not distinguish upper and lower case.
        if name.casefold() in seen:
            raise BundleError(f"{where} names {name} twice", _AGAIN)
        seen.add(name.casefold())


def copy_dir(bundle: Bundle, folder: Path) -> None:
    """Copy the files of a bundle directory into an empty folder."""
    names = sorted(contents(bundle))
    check_names(bundle.path, names)
    room = MAX_BYTES
    for name in names:
        with (bundle.path / name).open("rb") as source:
            room = _copy(source, folder / name, room)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file into an empty folder, without trusting the sizes and names in it."""
    if not archive.is_file():
        raise BundleError(f"there is no file {archive}", "give a packed bundle, or its directory")
    with archive.open("rb") as file:
        _check_end(archive, file)
        with _damage(str(archive)), zipfile.ZipFile(file) as zipped:
            entries = zipped.infolist()
            check_names(archive, [entry.orig_filename for entry in entries])
            room = MAX_BYTES
            for entry in entries:
                _check_entry(archive, entry)
                with _damage(f"{entry.filename} in {archive}"), zipped.open(entry) as source:
                    room = _copy(source, folder / entry.filename, room)


def _check_end(archive: Path, file: IO[bytes]) -> None:
    """Refuse a long list of files before zipfile reads all of the list into memory."""
    end, locator = 22, 20
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - end - locator))
    tail = file.read()
    record = tail[-end:]
    # With a comment or the 64-bit form, another record would give the length of the list.
    if not (record[:4] == b"PK\5\6" and record[-2:] == b"\0\0") or tail[:4] == b"PK\6\7":
        raise BundleError(f"{archive} is cut short, or not the zip file of a bundle", _AGAIN)
    (length,) = struct.unpack("<L", record[12:16])
    if length > _MAX_DIRECTORY:
        raise BundleError(f"{archive} has a list of files of {length} bytes, too long", _AGAIN)


def _check_entry(archive: Path, entry: zipfile.ZipInfo) -> None:
    problem = ""
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        problem = "is not a regular file"
    elif entry.flag_bits & _ENCRYPTED:
        problem = "is encrypted"
    elif entry.compress_type not in _METHODS:
        problem = f"is compressed by method {entry.compress_type}, only 0 and 8 are allowed"
    if problem:
        raise BundleError(f"{entry.filename} in {archive} {problem}", _AGAIN)


def _copy(source: IO[bytes], path: Path, room: int) -> int:
    """Copy up to the data's real end, ignoring a header's size; returns how many bytes are left of
    `room`."""
    with path.open("xb") as file:
        while chunk := source.read(_CHUNK):
            room -= len(chunk)
            if room < 0:
                raise BundleError(
                    f"with {path.name} the bundle has more than the {MAX_BYTES} bytes allowed",
                    "bundles that ostiary-export makes are smaller",
                )
            file.write(chunk)
    return room


@contextmanager
def _damage(what: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BundleError(f"{what} is damaged: {error}", _AGAIN) from error


def _check_target(archive: Path, target: Path) -> None:
    """Raise BundleError if `target` exists and is not a bundle: an install deletes it."""
    if target.is_dir():
        there = {path.name for path in target.iterdir()}
        replaceable = not there or {MANIFEST, GOLDEN} <= there
    else:
        replaceable = not target.exists()
    if not replaceable:
        raise BundleError(f"{target} exists and is not a bundle", "give the bundle's own folder")
    if target in archive.parents:
        raise BundleError(f"{archive} lies in {target}, which it would replace", "move it away")


@contextmanager
def _staging(archive: Path, target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, removed at the end; errors name the archive instead."""
    # The name is always the same, so that the next install removes what a power cut left behind.
    staged = target.with_name(f".{target.name}.new")
    if staged.exists():
        shutil.rmtree(staged)
    staged.mkdir()
    try:
        yield staged
    except OstiaryError as error:
        error.message = error.message.replace(str(staged), str(archive))
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _golden(backend: str) -> Prove:
    def prove(bundle: Bundle) -> None:
        for runner in golden.prove(bundle, backend, threads=1).runners.values():
            runner.close()

    return prove
