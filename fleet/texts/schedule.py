"""Hours of the week as text: `mon-fri 08:00-18:00, sat 09:00-12:00`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ostiary.edge.core.rules.access import DAY_MIN, EVERY_DAY
from ostiary.edge.roster.record import Hours
from ostiary.fleet.errors import FleetError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLE = 'write for example "mon-fri 08:00-18:00, sat 09:00-12:00"'
_TIMES = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)


def parse(text: str) -> tuple[Hours, ...]:
    """The hours in a text; an empty text gives none, which means always. Raises FleetError.

    Days are names, ranges (`fri-mon` as well) or `daily`; times without a day are daily. Times
    that end before they start run into the next day.
    """
    if not text.strip():
        return ()
    return tuple(hours for part in text.lower().split(",") for hours in _part(part))


def text_of(schedule: Iterable[Hours]) -> str:
    """The hours as a text that `parse` can read."""
    return ", ".join(
        f"{_days_text(h.days)} {_clock(h.start_min)}-{_clock(h.end_min)}" for h in schedule
    )


def _part(part: str) -> list[Hours]:
    words = part.split()
    times = [word for word in words if word[0].isdigit()]
    days = words[: len(words) - len(times)]
    if not times or words[len(days) :] != times:
        raise FleetError(f"{part.strip()!r} does not name days and times", EXAMPLE)
    bits = 0
    for word in days:
        bits |= _days(word)
    return [Hours(bits or EVERY_DAY, *_minutes(word)) for word in times]


def _days(word: str) -> int:
    if word == "daily":
        return EVERY_DAY
    first, dash, last = word.partition("-")
    last = last if dash else first
    if first not in DAYS or last not in DAYS:
        raise FleetError(f"{word!r} is not a day of the week", f"write {', '.join(DAYS)} or daily")
    start = DAYS.index(first)
    count = (DAYS.index(last) - start) % 7 + 1
    return sum(1 << (start + n) % 7 for n in range(count))


def _minutes(word: str) -> tuple[int, int]:
    form = _TIMES.fullmatch(word)
    if form is None:
        raise FleetError(f"{word!r} is not a time from and to", EXAMPLE)
    hour, minute, end_hour, end_minute = (int(digits) for digits in form.groups())
    start, end = 60 * hour + minute, 60 * end_hour + end_minute
    if minute > 59 or end_minute > 59 or start >= DAY_MIN or end > DAY_MIN:
        raise FleetError(f"{word!r} is not within one day", "a day goes from 00:00 to 24:00")
    if start == end:
        raise FleetError(f"{word!r} ends when it starts", "write 00:00-24:00 for the whole day")
    return start, end


def _days_text(bits: int) -> str:
    if bits == EVERY_DAY:
        return "daily"
    runs: list[list[int]] = []
    for day in (n for n in range(7) if bits >> n & 1):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    names = [DAYS[r[0]] if len(r) == 1 else f"{DAYS[r[0]]}-{DAYS[r[-1]]}" for r in runs]
    return " ".join(names)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
