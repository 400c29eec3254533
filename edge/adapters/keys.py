"""The site's key, as a file of 64 hex digits that nobody else may read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from edge.errors import ConfigError

_FORM = re.compile(rb"([0-9a-f]{64})\s*")


def read_site_key(path: Path) -> bytes:
    """The 32 bytes. Raises ConfigError where they can not be read, or others may read them too."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            form = _FORM.fullmatch(file.read(80))
    except OSError as error:
        raise ConfigError(
            f"can not read the site's key {path}: {error.strerror}",
            "`ostiary-fleet provision` makes it; see docs/fleet.md",
        ) from error
    if mode & 0o077:
        raise ConfigError(f"others may read the site's key {path} (mode {mode:04o})", "chmod 600")
    if form is None:
        raise ConfigError(f"{path} is no site key", "64 hex digits, as `ostiary-fleet init` makes")
    return bytes.fromhex(form[1].decode("ascii"))
