"""What a self-test finds: a check's verdict and finding, and the report of them all."""

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
    """How a check ended; `skipped` where there was nothing to look at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One check: a line for people, details for whoever reads the report, and what to do."""

    name: str
    verdict: CheckVerdict
    finding: str
    details: dict[str, Any] = {}
    hint: str = ""
    took_s: float = 0.0


class SelftestReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All checks of one run; `verdict` is the worst of them."""

    schema: int
    at: str
    ostiary: str
    site: str | None
    device: str | None
    verdict: CheckVerdict
    checks: list[Check]


def ok(name: str, finding: str, **details: Any) -> Check:
    """Nothing to do."""
    return Check(name=name, verdict=CheckVerdict.OK, finding=finding, details=details)


def warn(name: str, finding: str, hint: str, **details: Any) -> Check:
    """The door works, and somebody should look."""
    return Check(name=name, verdict=CheckVerdict.WARN, finding=finding, details=details, hint=hint)


def fail(name: str, finding: str, hint: str, **details: Any) -> Check:
    """The door does not do what it should."""
    return Check(name=name, verdict=CheckVerdict.FAIL, finding=finding, details=details, hint=hint)


def skipped(name: str, finding: str, hint: str = "", **details: Any) -> Check:
    """There was nothing to look at, or it was left alone."""
    return Check(
        name=name, verdict=CheckVerdict.SKIPPED, finding=finding, details=details, hint=hint
    )


def judged(
    name: str, finding: str, problems: list[tuple[str, str]], details: dict[str, Any]
) -> Check:
    """`warn` where there are problems, each with its hint; else `ok`."""
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
    """The same check with what is nobody's business left out, wherever it stands.

    Libraries put hosts and whole camera URLs, passwords and all, into their messages.
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
