"""Small files of the kernel, and programs of the system; what is absent is None, not an error."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

PROGRAM_S = 5.0
Ask = Callable[[list[str]], str | None]
"""Runs a program; what it printed, None where it is not here, failed, or took too long."""


def text(path: Path) -> str | None:
    """A small file's text without its end. A zone that is powered off answers with an error."""
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return None


def number(path: Path) -> int | None:
    """A file that holds one number."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def ask(command: list[str]) -> str | None:
    """Run a program with a time limit."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROGRAM_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
