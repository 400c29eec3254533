"""Keeps lockouts over a restart, in one small file; nothing about a face is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from ostiary.edge.core.rules import lockout
from ostiary.edge.core.rules.lockout import ANY_FACE, LockoutRules, Strikes
from ostiary.edge.errors import StoreError
from ostiary.edge.files import write_atomically

LOCKOUTS = "lockouts.json"


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at_s: float
    strikes: dict[str, lockout.Stored]


class LockoutFile:
    """The lockouts of a state folder. Another process clears them by removing the file."""

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        """`wall` gives seconds since 1970."""
        self._path, self._wall = folder / LOCKOUTS, wall
        self._holds = False

    def load(self, rules: LockoutRules, now: float) -> MappingProxyType[str, Strikes]:
        """The strikes at a start; `now` is monotonic seconds.

        If the file is damaged every face is locked for the shortest time: somebody may have been
        locked out. Raises StoreError if it cannot be read.
        """
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return lockout.NO_STRIKES
        except (msgspec.DecodeError, UnicodeDecodeError):
            return MappingProxyType({ANY_FACE: Strikes((), 1, now + rules.for_s)})
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        self._holds = True
        return lockout.restored(rules, held.strikes, self._wall() - held.at_s, now)

    def save(self, book: Mapping[str, Strikes], now: float) -> None:
        """Write the strikes, or remove the file if there are none. Raises StoreError."""
        held = lockout.stored(book, now)
        try:
            if held:
                data = msgspec.json.encode(_Stored(self._wall(), held))
                write_atomically(self._path, data)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from error
        self._holds = bool(held)

    def was_cleared(self) -> bool:
        """True once after another process has removed the file."""
        if not self._holds or self._path.exists():
            return False
        self._holds = False
        return True


def clear(folder: Path) -> bool:
    """End the lockouts of a state folder; False if there are none. Raises StoreError."""
    try:
        (folder / LOCKOUTS).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"cannot remove {folder / LOCKOUTS}: {error.strerror}") from error
    return True
