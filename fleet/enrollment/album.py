"""The photos that people were enrolled from, kept encrypted if the operator wants them kept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from ostiary.edge.adapters.photos import decode, read_bytes
from ostiary.edge.core.types import Image
from ostiary.edge.files import sync_dir, write_atomically
from ostiary.edge.keyfile import SECRET
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import PHOTOS, Fleet
from ostiary.fleet.site.keys import read_secret

KEY, ENDING = "photos.key", ".photos"
VERSION = b"\x01"
MAX_BYTES = 256_000_000
"""Largest total size of one person's photos."""

Photo = tuple[str, bytes]
"""A photo's name, for messages, and the bytes of its file."""


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The encrypted content. `subject` reveals a file that was moved to another person's place."""

    subject: str
    photos: tuple[Photo, ...]


class Album:
    """The kept photos, one file per person; without the key, no file's name reveals whose."""

    def __init__(self, fleet: Fleet) -> None:
        self._keeping = fleet.settings.keep_photos
        self._folder, self._key_file = fleet.folder / PHOTOS, fleet.folder / KEY
        self._key: bytes | None = None

    def check(self) -> None:
        """Raise FleetError, before any work is done, if photos could not be kept or removed."""
        if not self._empty():
            self._read_key()
        elif not self._keeping:
            return
        with _on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise FleetError(f"cannot write to {self._folder}", "check its permissions")

    def keep(self, subject: str, photos: Sequence[Photo | Path]) -> bool:
        """Keep these photos in place of older ones; False if the operator keeps no photos.

        In both cases older photos are removed, since the new template was not made from them.
        """
        check_subject(subject)
        if not self._keeping:
            self.forget(subject)
            return False
        given = [(p.name, read_bytes(p)) if isinstance(p, Path) else p for p in photos]
        if sum(len(data) for _, data in given) > MAX_BYTES:
            raise FleetError(
                f"the photos of {subject} have more than {MAX_BYTES // 10**6} MB",
                "give fewer photos",
            )
        plain = msgspec.msgpack.encode(_Kept(subject, tuple(given)))
        with _on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            closed = VERSION + bytes(SecretBox(self._made_key()).encrypt(plain))
            write_atomically(self._file(subject), closed)
        return True

    def has(self, subject: str) -> bool:
        """Whether photos of a subject are kept, readable or not."""
        return not self._empty() and self._file(subject).exists()

    def open(self, subject: str) -> list[tuple[str, Image]]:
        """A subject's kept photos, with their names; empty if none were kept.

        Raises FleetError if the file is damaged, PhotoError if a photo cannot be read.
        """
        if not self.has(subject):
            return []
        return [(name, decode(data, name)) for name, data in self._read(subject).photos]

    def forget(self, subject: str) -> bool:
        """Remove a subject's kept photos; False if there were none."""
        if self._empty():
            return False
        file = self._file(subject)
        # Remove also what an interrupted write left behind.
        found = [*self._folder.glob(f".{file.name}.*"), *([file] if file.exists() else [])]
        with _on_disk():
            for path in found:
                path.unlink(missing_ok=True)
            if found:
                sync_dir(self._folder)
        return bool(found)

    def _read(self, subject: str) -> _Kept:
        path = self._file(subject)
        box = SecretBox(self._read_key())
        with _on_disk():
            size = path.stat().st_size
            closed = path.read_bytes() if size < 2 * MAX_BYTES else b""
        try:
            plain = box.decrypt(closed[1:]) if closed[:1] == VERSION else b""
            kept = msgspec.msgpack.decode(plain, type=_Kept)
        except (CryptoError, ValueError, TypeError, msgspec.DecodeError) as error:
            raise self._damaged(subject) from error
        if kept.subject != subject:
            raise self._damaged(subject)
        return kept

    def _damaged(self, subject: str) -> FleetError:
        return FleetError(
            f"the kept photos of {subject} are damaged or encrypted with another key",
            f"enroll {subject} again from photos, or put the file back from your backup",
        )

    def _file(self, subject: str) -> Path:
        key = self._read_key()
        digest = hashlib.blake2b(subject.encode(), key=key, digest_size=20, person=b"ostiary names")
        return self._folder / f"{digest.hexdigest()}{ENDING}"

    def _empty(self) -> bool:
        """True if no photo was ever stored. If there are photos but no key, they are damaged, and
        this is False."""
        return not self._key_file.exists() and not any(self._folder.glob(f"*{ENDING}"))

    def _read_key(self) -> bytes:
        if self._key is None:
            self._key = read_secret(self._key_file)
        return self._key

    def _made_key(self) -> bytes:
        """The key, made at first use unless photos exist: a new key could not open them."""
        if self._empty():
            _create(self._key_file)
        return self._read_key()


def _create(path: Path) -> None:
    """Write a new key for its owner only, all or nothing; an existing key is kept."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(descriptor)
        # Of two processes at once, the second must keep the first one's key; a rename would replace
        # it.
        with contextlib.suppress(FileExistsError):
            os.link(staged, path)
    finally:
        staged.unlink()
    sync_dir(path.parent)


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FleetError(
            f"cannot use {error.filename or 'the photos'}: {error.strerror}",
            "check the free space and the permissions",
        ) from error
