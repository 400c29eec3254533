"""Reads small kernel files and runs system programs; the answer is None if one is absent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

PROGRAM_S = 5.0
Ask = Callable[[list[str]], str | None]
"""Runs a program and returns its output; None if absent, failed, or too slow."""


def text(path: Path) -> str | None:
    """A small file's text, stripped; None if unreadable, as in a zone that is powered off."""
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return None


def number(path: Path) -> int | None:
    """The integer in a file; None if it cannot be read or is no integer."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def ask(command: list[str]) -> str | None:
    """Run a program for at most PROGRAM_S; see `Ask`."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROGRAM_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
