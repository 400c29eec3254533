"""Runs the checks one after another, each in its own process, and makes the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ostiary import __version__
from ostiary.edge.selftest import isolated
from ostiary.edge.selftest.checks import CHECKS, NEED_THE_BUNDLE, CheckTask
from ostiary.edge.selftest.door import open_door, secrets
from ostiary.edge.selftest.models import BUNDLE
from ostiary.edge.selftest.report import (
    SCHEMA,
    Check,
    CheckVerdict,
    SelftestReport,
    fail,
    skipped,
    without,
    worst,
)
from ostiary.edge.wire import utc

LIMIT_S = 90.0
"""Time limit of a check: long enough for a busy board to load its models."""
# `_exit`, since OpenCV aborts if a camera thread still uses it when the interpreter ends.
CODE = """
from ostiary.edge.selftest.checks import run_one
run_one(sys.stdin.buffer.read(), answer)
os._exit(0)
"""
BROKE = "this is a bug in Ostiary: please send us the report"
Begun = Callable[[str], None]


def selftest(
    config: Path | None, bundle: Path | None, seconds: float, begun: Begun, code: str = CODE
) -> SelftestReport:
    """Run every check, even if others fail; `begun` is called with the name of each.

    Raises ConfigError for a bad profile.
    """
    door = open_door(config, bundle, seconds)
    private = list(secrets(door))
    at = utc(time.time())
    checks: list[Check] = []
    for name in CHECKS:
        begun(name)
        if name in NEED_THE_BUNDLE and _failed(checks, BUNDLE):
            checks.append(skipped(name, "the bundle cannot be used"))
            continue
        task = CheckTask(name, _text(config), _text(bundle), seconds)
        checks.append(without(_check(task, code), private))
    device = door.profile.device if door.profile is not None else None
    return SelftestReport(
        schema=SCHEMA,
        at=at,
        ostiary=__version__,
        site=device.site if device else None,
        device=device.id if device else None,
        verdict=worst(checks),
        checks=checks,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _failed(checks: list[Check], name: str) -> bool:
    return any(check.name == name and check.verdict is CheckVerdict.FAIL for check in checks)


def _check(task: CheckTask, code: str) -> Check:
    outcome = isolated.run(code, msgspec.json.encode(task), LIMIT_S + task.seconds)
    if outcome.problem:
        return fail(task.check, f"the check broke: {outcome.problem}", BROKE)
    return msgspec.json.decode(outcome.answer, type=Check)
