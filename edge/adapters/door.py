"""The door's actuator."""

from __future__ import annotations

import logging
import shlex
import subprocess
from typing import Protocol

from edge.errors import ConfigError, DoorError

log = logging.getLogger(__name__)


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
        try:
            done = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise DoorError(f"{self._command[0]} took more than {self._timeout_s} s") from error
        except OSError as error:
            raise DoorError(f"can not run {self._command[0]}: {error.strerror}") from error
        if done.returncode:
            raise DoorError(f"{self._command[0]} failed with exit code {done.returncode}")


def make_door(action: str, timeout_s: float) -> Door:
    """The door of an action URL. Raises ConfigError for one it does not know."""
    kind, _, rest = action.partition(":")
    if kind == "log" and not rest:
        return LogDoor()
    if kind == "exec" and rest.strip():
        return ProgramDoor(shlex.split(rest), timeout_s)
    raise ConfigError(f"no door action {action!r}", "log: or exec:PROGRAM ARG...")
