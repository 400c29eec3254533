"""All checks by name, and the function that runs one of them in its own process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from ostiary.edge.errors import OstiaryError
from ostiary.edge.selftest import (
    board,
    broker,
    camera,
    clock,
    disk,
    engines,
    models,
    power,
    roster,
    service,
    state,
    versions,
)
from ostiary.edge.selftest.door import DoorUnderTest, open_door
from ostiary.edge.selftest.report import Check, fail


class CheckTask(msgspec.Struct, frozen=True):
    """The input of a check's process; `seconds` is how long the camera is read."""

    check: str
    config: str | None
    bundle: str | None
    seconds: float


def _golden(backend: str) -> Callable[[DoorUnderTest], Check]:
    return lambda door: models.check_golden(door, backend)


CHECKS: dict[str, Callable[[DoorUnderTest], Check]] = {
    board.NAME: lambda door: board.check(),
    versions.NAME: lambda door: versions.check(),
    power.NAME: lambda door: power.check(),
    clock.NAME: lambda door: clock.check(),
    models.BUNDLE: models.check_bundle,
    engines.NAME: lambda door: engines.check(
        engines.survey_of(door), door.choice.backend == "tensorrt"
    ),
    **{f"{models.GOLDEN}, {name}": _golden(name) for name in models.BACKENDS},
    models.LATENCY: models.check_latency,
    camera.NAME: camera.check,
    disk.NAME: disk.check,
    state.NAME: state.check,
    roster.NAME: roster.check,
    broker.NAME: broker.check,
    service.NAME: lambda door: service.check(),
}
"""The checks in their order: those that measure time come before those that write to the disk."""
NEED_THE_BUNDLE = (
    engines.NAME,
    models.LATENCY,
    *(name for name in CHECKS if name.startswith(models.GOLDEN)),
)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def run_one(given: bytes, answer: BinaryIO) -> None:
    """Run the check that `given` (a CheckTask as JSON) names, and write its Check as JSON."""
    task = msgspec.json.decode(given, type=CheckTask)
    door = open_door(_path(task.config), _path(task.bundle), task.seconds)
    began = time.perf_counter()
    try:
        found = CHECKS[task.check](door)
    except OstiaryError as error:
        found = fail(task.check, error.message, error.hint)
    except OSError as error:
        found = fail(task.check, f"{error.filename}: {error.strerror}", "run the self-test as root")
    took = round(time.perf_counter() - began, 2)
    answer.write(msgspec.json.encode(msgspec.structs.replace(found, took_s=took)))
    answer.close()
