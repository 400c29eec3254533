"""Archives of a registry that a test changes, and signs again."""

from __future__ import annotations

import re
from hashlib import sha256


def silent(done: int, total: int) -> None:
    """No progress."""


def resigned(text: str) -> str:
    """An archive whose end fits again what was changed in it."""
    lines = text.splitlines(keepends=True)
    digest = sha256("".join(lines[:-1]).encode()).hexdigest()
    return "".join(lines[:-1]) + re.sub("[0-9a-f]{64}", digest, lines[-1])
