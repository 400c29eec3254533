"""Dates as operators write them, and that each slip is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ostiary.edge import dates
from ostiary.edge.errors import RequestError

DAY_S = 86400.0
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=2))).timestamp()


@pytest.fixture
def _two_hours_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EAST-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_two_hours_east")
def test_a_day_is_whole_and_in_the_operators_zone() -> None:
    start = datetime(2026, 12, 31, tzinfo=timezone(timedelta(hours=2))).timestamp()
    assert dates.start_of("2026-12-31", NOON) == start
    assert dates.end_of("2026-12-31", NOON) == start + DAY_S
    assert dates.end_of("2026-12-31T18:00", NOON) == start + 18 * 3600
    assert dates.end_of("2026-12-31 18:00:30", NOON) == start + 18 * 3600 + 30
    assert dates.end_of("2026-12-31T18:00Z", NOON) == start + 20 * 3600
    assert dates.end_of("2026-12-31T18:00+01:00", NOON) == start + 19 * 3600
    assert dates.text_of(start) == "2026-12-31 00:00"
    assert (dates.start_of("", NOON), dates.end_of(" ", NOON), dates.text_of(None)) == (
        None,
        None,
        "",
    )


@pytest.mark.usefixtures("_two_hours_east")
def test_today_is_not_the_past_and_yesterday_is() -> None:
    assert dates.start_of("2026-11-22", NOON) is not None
    assert dates.end_of("2026-11-22", NOON) is not None
    for read, text in (
        (dates.start_of, "2026-11-21"),
        (dates.end_of, "2026-11-21"),
        (dates.end_of, "2026-11-22T12:00"),
    ):
        with pytest.raises(RequestError, match=f"{text}: that is in the past"):
            read(text, NOON)


@pytest.mark.parametrize(
    "text",
    ["soon", "31.12.2026", "2026-13-01", "2026-02-30", "2026-12-31T25:00", "20261231", "9999-01-01",
     "2026-W01-1", "2026-12-31T18", "2026-12-31T18:00+99:00"],
)  # fmt: skip
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(RequestError, match="is not a date"):
        dates.end_of(text, NOON)


@pytest.mark.usefixtures("_two_hours_east")
def test_a_day_ends_in_the_zone_that_is_given() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    end = datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=9))).timestamp()
    assert dates.end_of("2026-12-31", NOON, tokyo) == end
    assert dates.text_of(end, tokyo) == "2027-01-01 00:00"
    assert dates.text_of(end) == "2026-12-31 17:00"
    assert dates.end_of("2026-12-31T18:00Z", NOON, tokyo) == end + 3 * 3600
