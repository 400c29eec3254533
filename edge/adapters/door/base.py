"""The interface of a door, and the door that an action URL names."""

from __future__ import annotations

import logging
import shlex
from typing import Protocol

from ostiary.edge.adapters.door.program import ProgramDoor
from ostiary.edge.errors import ConfigError

log = logging.getLogger(__name__)


class Door(Protocol):
    """A door that opens for a moment and shuts by itself."""

    def open(self) -> None:
        """Open. Raises DoorError if that fails, and no other exception.

        The daemon's loop waits: what takes longer than the watchdog allows ends the process.
        """
        ...


class LogDoor:
    """A door without an actuator: writes a log line; for trials, and for locks driven over MQTT."""

    def open(self) -> None:
        log.info("door: open")


def make_door(action: str, timeout_s: float) -> Door:
    """The door of an action URL. Raises ConfigError for an unknown or malformed one.

    Checking a profile makes its door too, perhaps on another machine: a door's constructor checks
    the action, and leaves the hardware alone until `open`.
    """
    kind, _, rest = action.partition(":")
    if kind == "log" and not rest:
        return LogDoor()
    if kind == "exec" and rest.strip():
        try:
            return ProgramDoor(shlex.split(rest), timeout_s)
        except ValueError as error:
            raise ConfigError(f"door action {action!r}: {error}") from error
    raise ConfigError(f"no door action {action!r}", "log: or exec:PROGRAM ARG...")
