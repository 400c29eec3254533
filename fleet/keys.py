"""The fleet's two keys: the site's, which every device shares, and this operator's own."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from nacl.signing import SigningKey

from edge.files import sync_dir
from fleet.errors import FleetError

SITE_KEY, OPERATOR_KEY, OPERATOR_PUB = "site.key", "operator.key", "operator.pub"
SECRET, PUBLIC = 0o600, 0o644
_FORM = re.compile(rb"([0-9a-f]{64})\s*")


def make_site_key(path: Path) -> bytes:
    """A new site key in a file for its owner only; never overwrites one."""
    key = secrets.token_bytes(32)
    _create([(path, key.hex(), SECRET)])
    return key


def make_operator_key(path: Path) -> str:
    """A new key pair, the public half beside it as `.pub`; returns it as hex. Never overwrites:
    devices trust the old one."""
    seed = secrets.token_bytes(32)
    public = bytes(SigningKey(seed).verify_key).hex()
    _create([(path, seed.hex(), SECRET), (path.with_suffix(".pub"), public, PUBLIC)])
    return public


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a secret key. Raises FleetError, as ssh does, where others may read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            form = _FORM.fullmatch(file.read(80))
    except OSError as error:
        raise FleetError(
            f"can not read the key {path}: {error.strerror}", "put it back from your backup"
        ) from error
    if mode & 0o077:
        raise FleetError(
            f"others than its owner may read the secret key {path} (mode {mode:04o})",
            f"chmod 600 {path}, or make another fleet if somebody may have it",
        )
    if form is None:
        raise FleetError(f"{path} is no secret key", "64 hex digits, as init writes them")
    return bytes.fromhex(form[1].decode("ascii"))


def _create(files: list[tuple[Path, str, int]]) -> None:
    """Write new files, all of them or none."""
    made: list[Path] = []
    try:
        for path, text, mode in files:
            # Created with its mode: a file closed to others only later was open until then.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(path)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                os.fchmod(descriptor, mode)
                file.write(f"{text}\n")
                file.flush()
                os.fsync(descriptor)
            sync_dir(path.parent)
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise FleetError(
                f"{error.filename} is already there and is not overwritten",
                "without the old key no device would listen to this fleet any more",
            ) from error
        raise
