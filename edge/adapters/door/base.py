"""The door's actuator."""

from __future__ import annotations

import logging
import shlex
import subprocess
from typing import Protocol

from ostiary.edge.errors import ConfigError, DoorError

log = logging.getLogger(__name__)

GRACE_S = 2.0


class Door(Protocol):
    """Something that can be opened for a moment; it shuts by itself."""

    def open(self) -> None:
        """Open. Raises DoorError where it can not be done."""
        ...


class LogDoor:
    """No actuator: says that a door would open. For trials, and where MQTT drives the lock."""

    def open(self) -> None:
        log.info("door: open")


class ProgramDoor:
    """Runs a program, without a shell; its exit code 0 means that the door was opened."""

    def __init__(self, command: list[str], timeout_s: float) -> None:
        self._command, self._timeout_s = command, timeout_s

    def open(self) -> None:
        # No pipes: whatever the program leaves behind would hold them open.
        quiet = subprocess.DEVNULL
        try:
            process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        except OSError as error:
            raise DoorError(f"can not run {self._command[0]}: {error.strerror}") from error
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired as error:
            self._end(process)
            raise DoorError(f"{self._command[0]} took more than {self._timeout_s} s") from error
        if code:
            raise DoorError(f"{self._command[0]} failed with exit code {code}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Ask first: a program that holds a relay must get the chance to let go of it."""
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_door(action: str, timeout_s: float) -> Door:
    """The door of an action URL. Raises ConfigError for one it does not know."""
    kind, _, rest = action.partition(":")
    if kind == "log" and not rest:
        return LogDoor()
    if kind == "exec" and rest.strip():
        try:
            return ProgramDoor(shlex.split(rest), timeout_s)
        except ValueError as error:
            raise ConfigError(f"door action {action!r}: {error}") from error
    raise ConfigError(f"no door action {action!r}", "log: or exec:PROGRAM ARG...")
