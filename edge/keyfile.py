"""Keys in files: 64 hex digits that nobody but their owner may read."""

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
"""Where systemd puts what `LoadCredential=` names."""
_FORM = re.compile(rb"([0-9a-f]{64})\s*")


def read_key(path: Path, refusal: type[OstiaryError], lost: str, exposed: str) -> bytes:
    """The 32 bytes of a key.

    Raises `refusal` where it can not be read (with the hint `lost`), where, as ssh asks, others may
    read it too (`exposed`), and where it is none.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            form = _FORM.fullmatch(file.read(80))
    except OSError as error:
        raise refusal(f"can not read the key {path}: {error.strerror}", lost) from error
    mode = stat.S_IMODE(found.st_mode)
    if mode & (0o037 if _is_credential(path) else 0o077):
        raise refusal(
            f"others than its owner may read the secret key {path} (mode {mode:04o})",
            f"{_closing(path, found.st_uid)}{exposed}",
        )
    if form is None:
        raise refusal(f"{path} is no secret key", "64 hex digits in a line")
    return bytes.fromhex(form[1].decode("ascii"))


def _is_credential(path: Path) -> bool:
    """Whether systemd gave this file to a service.

    It then belongs to root, and an access list lets the service's user read it. The list's mask
    shows as the group's bits (0440), though no group may read it.
    """
    folders = (CREDENTIALS, os.environ.get("CREDENTIALS_DIRECTORY"))
    real = path.resolve()
    return any(real.is_relative_to(Path(folder).resolve()) for folder in folders if folder)


def _closing(path: Path, owner: int) -> str:
    """The command that leaves the file to who runs this, and to nobody else."""
    user = os.geteuid()
    if user in (0, owner):
        return f"chmod 600 {path}"
    # Only its owner and root may change its mode, and we could not read it after that.
    return f"as root: chown {user} {path} && chmod 600 {path}"


def create(files: Sequence[tuple[Path, str, int]]) -> None:
    """Write new files, each a line of text with a mode, durable on return; all of them or none.

    Raises OSError; FileExistsError where one is there already, which is then left alone.
    """
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
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
