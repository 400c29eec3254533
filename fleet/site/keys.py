"""The fleet's two keys: the site's, which every device shares, and this operator's own."""

from __future__ import annotations

import secrets
from pathlib import Path

from nacl.signing import SigningKey

from ostiary.edge.keyfile import PUBLIC, SECRET, create, read_key
from ostiary.fleet.errors import FleetError

SITE_KEY, OPERATOR_KEY, OPERATOR_PUB = "site.key", "operator.key", "operator.pub"


def make_site_key(path: Path) -> bytes:
    """Write a new site key, for its owner only. Raises FleetError if the file exists."""
    key = secrets.token_bytes(32)
    _create([(path, key.hex(), SECRET)])
    return key


def make_operator_key(path: Path) -> str:
    """Write a new key pair: the secret key at `path`, the public key beside it as `.pub`; returns
    the public key as hex.

    Raises FleetError if a file exists: devices trust the old key.
    """
    seed = secrets.token_bytes(32)
    public = bytes(SigningKey(seed).verify_key).hex()
    _create([(path, seed.hex(), SECRET), (path.with_suffix(".pub"), public, PUBLIC)])
    return public


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a secret key. Raises FleetError, also if other users may read the file."""
    exposed = ", or make another fleet if somebody may have it"
    return read_key(path, FleetError, "put it back from your backup", exposed)


def _create(files: list[tuple[Path, str, int]]) -> None:
    try:
        create(files)
    except FileExistsError as error:
        raise FleetError(
            f"{error.filename} exists and is not overwritten",
            "keep it: devices accept only what the old key signed or encrypted",
        ) from error
