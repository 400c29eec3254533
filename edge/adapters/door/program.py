"""A door that a program opens."""

from __future__ import annotations

import subprocess

from ostiary.edge.errors import DoorError

GRACE_S = 2.0
"""Seconds that a program may take to end after it is asked to."""


class ProgramDoor:
    """Runs a program without a shell; exit code 0 means that the door was opened."""

    def __init__(self, command: list[str], timeout_s: float) -> None:
        self._command, self._timeout_s = command, timeout_s

    def open(self) -> None:
        # Use no pipes: a process that the program leaves behind would hold them open.
        quiet = subprocess.DEVNULL
        try:
            process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        except OSError as error:
            raise DoorError(f"cannot run {self._command[0]}: {error.strerror}") from error
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired as error:
            self._end(process)
            raise DoorError(f"{self._command[0]} took more than {self._timeout_s} s") from error
        if code:
            raise DoorError(f"{self._command[0]} failed with exit code {code}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the program to end before killing it: it may hold a relay that it must release."""
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
