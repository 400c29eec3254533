"""Hours and dates as operators write them, and that each slip is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.rules.access import Moment, Rights, Span, barred
from ostiary.edge.roster.record import Hours
from ostiary.fleet.errors import FleetError
from ostiary.fleet.texts import dates, schedule

DAY_S = 86400.0
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=2))).timestamp()


@pytest.fixture
def _two_hours_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EAST-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("mon-fri 08:00-18:00", (Hours(0b0011111, 480, 1080),)),
        (
            "mon-fri 08:00-18:00, sat 09:00-12:00",
            (Hours(0b0011111, 480, 1080), Hours(0b0100000, 540, 720)),
        ),
        ("Mon wed FRI 08:00-09:00", (Hours(0b0010101, 480, 540),)),
        ("fri-mon 00:00-24:00", (Hours(0b1110001, 0, 1440),)),
        ("22:00-06:00", (Hours(0b1111111, 1320, 360),)),
        ("daily 08:00-12:00 13:00-17:00", (Hours(127, 480, 720), Hours(127, 780, 1020))),
        ("sun-sun 08:00-09:00", (Hours(0b1000000, 480, 540),)),
    ],
)
def test_hours_are_read(text: str, expected: tuple[Hours, ...]) -> None:
    assert schedule.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mon-fri", "'mon-fri' does not name days and times"),
        ("08:00-09:00 mon", "does not name days and times"),
        (",", "does not name days and times"),
        ("mo 08:00-09:00", "'mo' is not a day of the week"),
        ("mon- 08:00-09:00", "'mon-' is not a day of the week"),
        ("mon 8:00-9:00", "'8:00-9:00' is not a time from and to"),
        ("mon 08:60-09:00", "is not within one day"),
        ("mon 08:00-24:01", "is not within one day"),
        ("mon 24:00-08:00", "is not within one day"),
        ("mon 08:00-08:00", "ends when it starts"),
        ("mon 0\u0668:00-18:00", "is not a time from and to"),
    ],
)
def test_wrong_hours_are_named(text: str, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        schedule.parse(text)


hours = st.builds(Hours, st.integers(1, 127), st.integers(0, 1439), st.integers(0, 1440)).filter(
    lambda h: h.start_min != h.end_min
)


@given(st.lists(hours, max_size=4))
def test_hours_survive_being_written_and_read(given_hours: list[Hours]) -> None:
    assert schedule.parse(schedule.text_of(given_hours)) == tuple(given_hours)


def test_the_door_understands_what_was_written() -> None:
    (span,) = (Span(h.days, h.start_min, h.end_min) for h in schedule.parse("fri 22:00-06:00"))
    rights = Rights(schedule=(span,))
    assert barred(rights, (), Moment(0.0, 4, 23 * 60)) is None
    assert barred(rights, (), Moment(0.0, 5, 5 * 60)) is None
    assert barred(rights, (), Moment(0.0, 4, 5 * 60)) is not None


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
        with pytest.raises(FleetError, match=f"{text}: that is in the past"):
            read(text, NOON)


@pytest.mark.parametrize(
    "text",
    ["soon", "31.12.2026", "2026-13-01", "2026-02-30", "2026-12-31T25:00", "20261231", "9999-01-01",
     "2026-W01-1", "2026-12-31T18", "2026-12-31T18:00+99:00"],
)  # fmt: skip
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(FleetError, match="is not a date"):
        dates.end_of(text, NOON)
