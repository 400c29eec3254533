"""Dates as an operator writes them, in their own time zone: `2026-12-31` or `2026-12-31T18:00`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ostiary.fleet.errors import FleetError

HINT = "2026-12-31, or 2026-12-31T18:00"
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def start_of(text: str, now_s: float) -> float | None:
    """From when on: a day from its first minute; None for an empty text.

    Raises FleetError for what is no date, and for one before today.
    """
    if not text.strip():
        return None
    moment, _ = _moment(text)
    today = datetime.fromtimestamp(now_s).replace(hour=0, minute=0, second=0, microsecond=0)
    if moment.timestamp() < today.timestamp():
        raise FleetError(f"valid from {text}: that is in the past", "leave it away to start now")
    return moment.timestamp()


def end_of(text: str, now_s: float) -> float | None:
    """Until when: a day is included to its last minute; None for an empty text.

    Raises FleetError for what is no date, and for one that is over.
    """
    if not text.strip():
        return None
    moment, whole_day = _moment(text)
    end_s = (moment + timedelta(days=1) if whole_day else moment).timestamp()
    if end_s <= now_s:
        raise FleetError(f"valid until {text}: that is in the past", "`suspend` or `revoke` is now")
    return end_s


def text_of(at_s: float | None) -> str:
    """A moment for people to read, in their own time zone."""
    if at_s is None:
        return ""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M")


def _moment(text: str) -> tuple[datetime, bool]:
    form = _FORM.fullmatch(text.strip())
    if form is None or not 1970 < int(form[1][:4]) < 3000:
        raise FleetError(f"{text!r} is no date", HINT)
    day, clock, zone = form.groups()
    try:
        iso = f"{day}T{clock or '00:00'}{(zone or '').replace('Z', '+00:00')}"
        return datetime.fromisoformat(iso), clock is None
    except ValueError as error:
        raise FleetError(f"{text!r} is no date: {error}", HINT) from error
