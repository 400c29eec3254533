"""Dates as an operator writes and reads them: `2026-12-31` or `2026-12-31T18:00`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from ostiary.edge.errors import RequestError

HINT = "2026-12-31, or 2026-12-31T18:00"
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def start_of(text: str, now_s: float) -> float | None:
    """The time at which a right begins, in seconds since 1970; a day begins at midnight. None for
    an empty text.

    Raises RequestError for a text that is not a date, and for a time before today.
    """
    if not text.strip():
        return None
    moment, _ = _moment(text)
    today = datetime.fromtimestamp(now_s).replace(hour=0, minute=0, second=0, microsecond=0)
    if moment.timestamp() < today.timestamp():
        raise RequestError(f"valid from {text}: that is in the past", "leave it out to start now")
    return moment.timestamp()


def end_of(text: str, now_s: float, zone: tzinfo | None = None) -> float | None:
    """The time at which a right ends, in seconds since 1970; a day counts whole. None for an empty
    text. A text without a zone is in `zone`; None means the system's.

    Raises RequestError for a text that is not a date, and for a time that is over.
    """
    if not text.strip():
        return None
    moment, whole_day = _moment(text, zone)
    end_s = (moment + timedelta(days=1) if whole_day else moment).timestamp()
    if end_s <= now_s:
        raise RequestError(
            f"valid until {text}: that is in the past", "to end access now, suspend the person"
        )
    return end_s


def text_of(at_s: float | None, zone: tzinfo | None = None) -> str:
    """A time, in seconds since 1970, as text in a time zone, by default the system's; empty for
    None."""
    if at_s is None:
        return ""
    return datetime.fromtimestamp(at_s, zone).strftime("%Y-%m-%d %H:%M")


def _moment(text: str, zone: tzinfo | None = None) -> tuple[datetime, bool]:
    """The moment that a text names, and whether the text is a whole day."""
    form = _FORM.fullmatch(text.strip())
    if form is None or not 1970 < int(form[1][:4]) < 3000:
        raise RequestError(f"{text!r} is not a date", HINT)
    day, clock, offset = form.groups()
    try:
        iso = f"{day}T{clock or '00:00'}{(offset or '').replace('Z', '+00:00')}"
        moment = datetime.fromisoformat(iso)
    except ValueError as error:
        raise RequestError(f"{text!r} is not a date: {error}", HINT) from error
    return (moment if offset else moment.replace(tzinfo=zone)), clock is None
