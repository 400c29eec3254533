"""Signatures of bundles (Ed25519), and the keys that this device trusts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from ostiary.edge.errors import BundleError

SIGNATURE = "SIGNATURE"
SUFFIX = ".pub"
PURPOSE = b"ostiary bundle manifest 1\n"
"""The signed text begins with this, so that a signature for another purpose is not valid here."""
SYSTEM_KEYS = Path("/etc/ostiary/keys")
_FORM = re.compile(r"key ([0-9a-f]{64})\nsignature ([0-9a-f]{128})\n?")


@dataclass(frozen=True, slots=True)
class Keys:
    """The trusted public keys, as lower-case hex, and the folder they were read from."""

    trusted: frozenset[str]
    folder: Path


def user_folder() -> Path:
    """Where this user's keys are kept."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ostiary"


def keys_folder() -> Path:
    """The folder of trusted keys: OSTIARY_KEYS, else this user's own, else the system's."""
    given = os.environ.get("OSTIARY_KEYS")
    if given:
        return Path(given)
    own = user_folder() / "keys"
    return own if own.is_dir() else SYSTEM_KEYS


def read_keys(folder: Path | None = None) -> Keys:
    """The keys in a folder's `.pub` files. Raises BundleError if one of them holds no key.

    A missing folder counts as empty: no bundle is then accepted.
    """
    chosen = folder or keys_folder()
    found = set()
    for path in sorted(chosen.glob(f"*{SUFFIX}")):
        try:
            text = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"cannot read the key {path}: {error}") from error
        if not re.fullmatch("[0-9a-f]{64}", text):
            raise BundleError(f"{path} holds no public key", "a key is 64 hex digits on a line")
        found.add(text)
    return Keys(frozenset(found), chosen)


def sign(manifest: bytes, seed: bytes) -> str:
    """The text of a SIGNATURE file for a manifest's bytes; `seed` is the secret key, 32 bytes."""
    key = SigningKey(seed)
    signature = key.sign(PURPOSE + manifest).signature
    return f"key {key.verify_key.encode().hex()}\nsignature {signature.hex()}\n"


def check(manifest: bytes, signature: bytes, keys: Keys) -> str:
    """The trusted key that signed a manifest, as hex. Raises BundleError if none did."""
    form = _FORM.fullmatch(signature.decode("ascii", "replace"))
    if form is None:
        raise BundleError(f"{SIGNATURE} holds no signature", "sign the bundle again")
    signer = form[1]
    if signer not in keys.trusted:
        raise BundleError(
            f"the bundle is signed by {signer[:16]}..., which is none of the"
            f" {len(keys.trusted)} keys in {keys.folder}",
            f"if you trust the signer, put their {SUFFIX} file there",
        )
    try:
        VerifyKey(bytes.fromhex(signer)).verify(PURPOSE + manifest, bytes.fromhex(form[2]))
    except (BadSignatureError, ValueError) as error:
        raise BundleError(
            f"the {SIGNATURE} does not fit manifest.json: one of them was changed",
            "copy the bundle again; if it differs again, do not trust the source",
        ) from error
    return signer
