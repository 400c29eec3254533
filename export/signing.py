"""The signer's side: makes key pairs, keeps the secret half to its owner, signs bundles."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from nacl.signing import SigningKey

from edge.errors import BundleError
from edge.files import sync_dir, write_atomically
from edge.runtime import bundle as bundles
from edge.runtime import signature
from edge.runtime.bundle import MANIFEST
from edge.runtime.signature import SIGNATURE, SUFFIX

SECRET, PUBLIC = 0o600, 0o644
SHOWN = 16
_SEED = re.compile(rb"([0-9a-f]{64})\s*")


def keygen(path: Path) -> str:
    """Make a key pair, the secret half at `path` and the public half beside it as `.pub`.

    Returns the public key as hex. Raises BundleError, and leaves nothing, where it can not:
    a key is never overwritten, since what it signed could then not be signed again.
    """
    if not path.name:
        raise BundleError(f"{path} is no file name")
    public = path.with_suffix(SUFFIX)
    if public == path:
        raise BundleError(f"{path} is a public key's name", "give the secret half another")
    seed = secrets.token_bytes(32)
    key = SigningKey(seed).verify_key.encode().hex()
    made: list[Path] = []
    try:
        for file, text, mode in ((path, seed.hex(), SECRET), (public, key, PUBLIC)):
            _create(file, text, mode, made)
        sync_dir(path.parent)
    except BaseException as error:
        for file in made:
            file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(error, path) from error
        raise
    return key


def read_seed(path: Path) -> bytes:
    """The 32 bytes of a secret key. Raises BundleError, as ssh does, where others may read it."""
    if not path.is_file():
        raise BundleError(f"there is no key {path}", "ostiary-export keygen makes one")
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            form = _SEED.fullmatch(file.read(80))
    except OSError as error:
        raise BundleError(f"can not read the key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise BundleError(
            f"others than its owner may read the secret key {path} (mode {mode:04o})",
            f"chmod 600 {path}, or make another if somebody may have it",
        )
    if form is None:
        raise BundleError(f"{path} is no secret key", "64 hex digits, as keygen writes them")
    return bytes.fromhex(form[1].decode("ascii"))


def default_key() -> Path:
    """The key that this user signs with where none is named."""
    return signature.user_folder() / "signing.key"


def ensure_default_key(say: Callable[[str], None]) -> Path:
    """This user's own key, made at first use and then trusted by their own `ostiary`."""
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
        # Left there, the key would sign what this user's own ostiary then refuses.
        for half in (path, path.with_suffix(SUFFIX)):
            half.unlink(missing_ok=True)
        raise _unwritable(error, trusted) from error
    say(f"made the signing key {path}; this user's ostiary now trusts it: {key[:SHOWN]}...")
    return path


def sign_bundle(folder: Path, seed: bytes) -> str:
    """Sign a bundle whose every file has the hash its manifest names; returns the public key.

    The caller has seen that it passed its gate: a bundle that failed is not signed.
    """
    bundles.read(folder)
    text = signature.sign((folder / MANIFEST).read_bytes(), seed)
    try:
        write_atomically(folder / SIGNATURE, text.encode("ascii"))
    except OSError as error:
        raise BundleError(f"can not write {folder / SIGNATURE}: {error.strerror}") from error
    return SigningKey(seed).verify_key.encode().hex()


def _create(path: Path, text: str, mode: int, made: list[Path]) -> None:
    # Created with its mode: a file that is closed to others only later was open until then.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    made.append(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)


def _unwritable(error: OSError, path: Path) -> BundleError:
    if isinstance(error, FileExistsError):
        return BundleError(
            f"{error.filename} is already there and is not overwritten",
            "choose another name, or move both halves of the old pair away",
        )
    return BundleError(f"can not write the key {error.filename or path}: {error.strerror}")
