"""The results of a self-test: one Check each, and the report of all."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from typing import Any

import msgspec

SCHEMA = 1
LEFT_OUT = "(left out)"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


class CheckVerdict(str, Enum):
    """Result of a check; `skipped` if there was nothing to check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One check: `finding` is a line for people, `details` for support, `hint` is what to do."""

    name: str
    verdict: CheckVerdict
    finding: str
    details: dict[str, Any] = {}
    hint: str = ""
    took_s: float = 0.0


class SelftestReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All checks of one run; `verdict` is the worst one, `at` the UTC time."""

    schema: int
    at: str
    ostiary: str
    site: str | None
    device: str | None
    verdict: CheckVerdict
    checks: list[Check]


def ok(name: str, finding: str, **details: Any) -> Check:
    """A check that found no problem."""
    return Check(name=name, verdict=CheckVerdict.OK, finding=finding, details=details)


def warn(name: str, finding: str, hint: str, **details: Any) -> Check:
    """A check with a problem that does not stop the door."""
    return Check(name=name, verdict=CheckVerdict.WARN, finding=finding, details=details, hint=hint)


def fail(name: str, finding: str, hint: str, **details: Any) -> Check:
    """A check with a problem that keeps the door from working as it should."""
    return Check(name=name, verdict=CheckVerdict.FAIL, finding=finding, details=details, hint=hint)


def skipped(name: str, finding: str, hint: str = "", **details: Any) -> Check:
    """A check that was not made; `finding` says why."""
    return Check(
        name=name, verdict=CheckVerdict.SKIPPED, finding=finding, details=details, hint=hint
    )


def judged(
    name: str, finding: str, problems: list[tuple[str, str]], details: dict[str, Any]
) -> Check:
    """`warn` if there are problems (problem, hint); else `ok`."""
    if not problems:
        return ok(name, finding, **details)
    found = "; ".join([finding, *(problem for problem, _ in problems)])
    return warn(name, found, "; ".join(hint for _, hint in problems), **details)


def worst(checks: Collection[Check]) -> CheckVerdict:
    """The verdict of a whole report."""
    found = {check.verdict for check in checks}
    for verdict in (CheckVerdict.FAIL, CheckVerdict.WARN):
        if verdict in found:
            return verdict
    return CheckVerdict.OK


def without(check: Check, secrets: Collection[str]) -> Check:
    """The same check with all `secrets` and URL credentials removed, wherever they stand.

    Libraries put hosts and whole camera URLs, with passwords, into their messages.
    """
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    return msgspec.structs.replace(
        check,
        finding=_without(check.finding, longest_first),
        details=_without(check.details, longest_first),
        hint=_without(check.hint, longest_first),
    )


def _without(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, LEFT_OUT)
        return _CREDENTIALS.sub("", value)
    if isinstance(value, list):
        return [_without(item, secrets) for item in value]
    if isinstance(value, dict):
        return {name: _without(item, secrets) for name, item in value.items()}
    return value
