"""The photos that people were enrolled from, where the operator keeps them: encrypted."""

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
"""Of all photos of one person."""

Photo = tuple[str, bytes]
"""A photo's name, for messages, and its file as it was."""


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is encrypted. `subject` shows where one person's file was put in another's place."""

    subject: str
    photos: tuple[Photo, ...]


class Album:
    """One file a person, whose name tells nobody without the key whose it is."""

    def __init__(self, fleet: Fleet) -> None:
        self._keeping = fleet.settings.keep_photos
        self._folder, self._key_file = fleet.folder / PHOTOS, fleet.folder / KEY
        self._key: bytes | None = None

    def check(self) -> None:
        """Raise FleetError where nothing could be kept or forgotten, before any work is done."""
        if not self._empty():
            self._read_key()
        elif not self._keeping:
            return
        with _on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise FleetError(f"can not write to {self._folder}", "check its rights")

    def keep(self, subject: str, photos: Sequence[Photo | Path]) -> bool:
        """Keep these in place of those there were; False where the operator keeps none.

        Older ones are then forgotten as well: they are not what the new template was made from.
        """
        check_subject(subject)
        if not self._keeping:
            self.forget(subject)
            return False
        given = [(p.name, read_bytes(p)) if isinstance(p, Path) else p for p in photos]
        if sum(len(data) for _, data in given) > MAX_BYTES:
            raise FleetError(
                f"the photos of {subject} have more than {MAX_BYTES // 10**6} MB", "give fewer"
            )
        plain = msgspec.msgpack.encode(_Kept(subject, tuple(given)))
        with _on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            closed = VERSION + bytes(SecretBox(self._made_key()).encrypt(plain))
            write_atomically(self._file(subject), closed)
        return True

    def has(self, subject: str) -> bool:
        """Whether there are photos of somebody, readable or not."""
        return not self._empty() and self._file(subject).exists()

    def open(self, subject: str) -> list[tuple[str, Image]]:
        """The named photos of somebody; none where none were kept.

        Raises FleetError where the file is damaged, PhotoError where a photo can not be read.
        """
        if not self.has(subject):
            return []
        return [(name, decode(data, name)) for name, data in self._read(subject).photos]

    def forget(self, subject: str) -> bool:
        """Remove what was kept of somebody; False where there was nothing."""
        if self._empty():
            return False
        file = self._file(subject)
        # Also what a write that was ended in its middle has left.
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
            f"the kept photos of {subject} are damaged or of another key",
            "enroll them again from photos, or put the file back from your backup",
        )

    def _file(self, subject: str) -> Path:
        key = self._read_key()
        digest = hashlib.blake2b(subject.encode(), key=key, digest_size=20, person=b"ostiary names")
        return self._folder / f"{digest.hexdigest()}{ENDING}"

    def _empty(self) -> bool:
        """Nothing was ever kept. A key that is gone, beside photos, is no such thing."""
        return not self._key_file.exists() and not any(self._folder.glob(f"*{ENDING}"))

    def _read_key(self) -> bytes:
        if self._key is None:
            self._key = read_secret(self._key_file)
        return self._key

    def _made_key(self) -> bytes:
        """The key, made at first use. Never beside photos that it could not open."""
        if self._empty():
            _create(self._key_file)
        return self._read_key()


def _create(path: Path) -> None:
    """A new key in a file for its owner only, whole or not there; one that is there stays."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(descriptor)
        # Two at once: the second finds the first one's key and takes that. A rename would not.
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
            f"can not use {error.filename or 'the photos'}: {error.strerror}",
            "check the disk's free space and rights",
        ) from error
