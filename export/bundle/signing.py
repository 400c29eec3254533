"""Signing keys: make key pairs, keep the secret half to its owner, sign bundles."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from nacl.signing import SigningKey

from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.keyfile import PUBLIC, SECRET, create, read_key
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.signature import SIGNATURE, SUFFIX

SHOWN = 16


def keygen(path: Path) -> str:
    """Make a key pair: the secret key in the file `path`, the public key beside it as `.pub`.

    Returns the public key as hex. Raises BundleError and leaves no file if it cannot write both. An
    existing key is never overwritten: without it, nothing more could be signed for devices that
    trust it.
    """
    if not path.name:
        raise BundleError(f"{path} is not a file name", "give the file to write, e.g. factory.key")
    public = path.with_suffix(SUFFIX)
    if public == path:
        raise BundleError(
            f"{path} is a public key's name", f"give the secret key a name without {SUFFIX}"
        )
    seed = secrets.token_bytes(32)
    key = SigningKey(seed).verify_key.encode().hex()
    try:
        create([(path, seed.hex(), SECRET), (public, key, PUBLIC)])
    except OSError as error:
        raise _unwritable(error, path) from error
    return key


def read_seed(path: Path) -> bytes:
    """The 32 bytes of a secret key. Raises BundleError if other users may read it, as ssh does."""
    if not path.is_file():
        raise BundleError(f"there is no key {path}", "make one with ostiary-export keygen")
    exposed = ", or make another key if somebody may have read this one"
    return read_key(path, BundleError, "check the file's owner and mode", exposed)


def default_key() -> Path:
    """The key file that this user signs with by default."""
    return signature.user_folder() / "signing.key"


def ensure_default_key(say: Callable[[str], None]) -> Path:
    """This user's own key file, made at first use; this user's `ostiary` then trusts the key."""
    path = default_key()
    if path.exists():
        return path
    trusted = signature.user_folder() / "keys" / f"{path.stem}{SUFFIX}"
    if trusted.exists():
        raise BundleError(
            f"{trusted} is trusted, but its secret half {path} is gone",
            "put the secret half back, or give the old public one another name",
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        trusted.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(error, path) from error
    key = keygen(path)
    try:
        write_atomically(trusted, path.with_suffix(SUFFIX).read_bytes())
    except OSError as error:
        # Delete both files: a key left there would sign bundles that this user's own ostiary
        # refuses.
        for half in (path, path.with_suffix(SUFFIX)):
            half.unlink(missing_ok=True)
        raise _unwritable(error, trusted) from error
    say(f"made the signing key {path}; this user's ostiary now trusts it: {key[:SHOWN]}...")
    return path


def sign_bundle(folder: Path, seed: bytes) -> str:
    """Sign a bundle and return the public key as hex; the caller has checked its gate.

    Raises BundleError if a file does not have the hash in the manifest.
    """
    bundles.read(folder)
    text = signature.sign((folder / MANIFEST).read_bytes(), seed)
    try:
        write_atomically(folder / SIGNATURE, text.encode("ascii"))
    except OSError as error:
        raise BundleError(f"cannot write {folder / SIGNATURE}: {error.strerror}") from error
    return SigningKey(seed).verify_key.encode().hex()


def _unwritable(error: OSError, path: Path) -> BundleError:
    if isinstance(error, FileExistsError):
        return BundleError(
            f"{error.filename} is already there and is not overwritten",
            "choose another name, or move both halves of the old pair away",
        )
    return BundleError(f"cannot write the key {error.filename or path}: {error.strerror}")
