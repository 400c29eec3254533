"""Dates as an operator writes them, in their own time zone: `2026-12-31` or `2026-12-31T18:00`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ostiary.fleet.errors import FleetError

HINT = "2026-12-31, or 2026-12-31T18:00"
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def start_of(text: str, now_s: float) -> float | None:
    """The time at which a right begins, in seconds since 1970; a day begins at midnight. None for
    an empty text.

    Raises FleetError for a text that is not a date, and for a time before today.
    """
    if not text.strip():
        return None
    moment, _ = _moment(text)
    today = datetime.fromtimestamp(now_s).replace(hour=0, minute=0, second=0, microsecond=0)
    if moment.timestamp() < today.timestamp():
        raise FleetError(f"valid from {text}: that is in the past", "leave it out to start now")
    return moment.timestamp()


def end_of(text: str, now_s: float) -> float | None:
    """The time at which a right ends, in seconds since 1970; a day counts whole. None for an empty
    text.

    Raises FleetError for a text that is not a date, and for a time that is over.
    """
    if not text.strip():
        return None
    moment, whole_day = _moment(text)
    end_s = (moment + timedelta(days=1) if whole_day else moment).timestamp()
    if end_s <= now_s:
        raise FleetError(
            f"valid until {text}: that is in the past", "to end it now, use `suspend` or `revoke`"
        )
    return end_s


def text_of(at_s: float | None) -> str:
    """A time, in seconds since 1970, as text in the operator's time zone; empty for None."""
    if at_s is None:
        return ""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M")


def _moment(text: str) -> tuple[datetime, bool]:
    form = _FORM.fullmatch(text.strip())
    if form is None or not 1970 < int(form[1][:4]) < 3000:
        raise FleetError(f"{text!r} is not a date", HINT)
    day, clock, zone = form.groups()
    try:
        iso = f"{day}T{clock or '00:00'}{(zone or '').replace('Z', '+00:00')}"
        return datetime.fromisoformat(iso), clock is None
    except ValueError as error:
        raise FleetError(f"{text!r} is not a date: {error}", HINT) from error
