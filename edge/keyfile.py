"""Keys in files of 64 hex digits; a secret key's file is readable by its owner alone."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from ostiary.edge.errors import OstiaryError
from ostiary.edge.files import sync_dir

SECRET, PUBLIC = 0o600, 0o644
CREDENTIALS = Path("/run/credentials")
"""Where systemd puts the files that `LoadCredential=` names."""
_FORM = re.compile(rb"([0-9a-f]{64})\s*")


def read_key(path: Path, refusal: type[OstiaryError], lost: str, exposed: str) -> bytes:
    """Read the 32 bytes of a secret key.

    Raises `refusal` if the file cannot be read (with the hint `lost`), if other users may read it
    (as ssh does; `exposed` ends the hint), or if it holds no key.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            form = _FORM.fullmatch(file.read(80))
    except OSError as error:
        raise refusal(f"cannot read the key {path}: {error.strerror}", lost) from error
    mode = stat.S_IMODE(found.st_mode)
    if mode & (0o037 if _is_credential(path) else 0o077):
        raise refusal(
            f"users other than its owner may read the secret key {path} (mode {mode:04o})",
            f"{_closing(path, found.st_uid)}{exposed}",
        )
    if form is None:
        raise refusal(f"{path} holds no secret key", "a key is one line of 64 hex digits")
    return bytes.fromhex(form[1].decode("ascii"))


def _is_credential(path: Path) -> bool:
    """Whether systemd gave this file to a service as a credential.

    That file belongs to root, and an access list lets the service's user read it. The mode's group
    bits (0440) then show the list's mask, though no group may read the file.
    """
    folders = (CREDENTIALS, os.environ.get("CREDENTIALS_DIRECTORY"))
    real = path.resolve()
    return any(real.is_relative_to(Path(folder).resolve()) for folder in folders if folder)


def _closing(path: Path, owner: int) -> str:
    """The command that leaves the file readable by the current user only."""
    user = os.geteuid()
    if user in (0, owner):
        return f"chmod 600 {path}"
    # Only the owner and root may change the mode. If another user owns the file, mode 600 would
    # shut this user out, so root must change the owner first.
    return f"as root: chown {user} {path} && chmod 600 {path}"


def create(files: Sequence[tuple[Path, str, int]]) -> None:
    """Create files, each as (path, line of text, mode): all of them or none, durable on return.

    Raises OSError, or FileExistsError if one exists already; that file is left as it is.
    """
    made: list[Path] = []
    try:
        for path, text, mode in files:
            # The mode is set on creation: until a later chmod, others could read the file.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(path)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                os.fchmod(descriptor, mode)
                file.write(f"{text}\n")
                file.flush()
                os.fsync(descriptor)
            sync_dir(path.parent)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
