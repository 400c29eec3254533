"""Hours as operators write them, and that each slip is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.core.rules.access import Moment, Rights, Span, barred
from ostiary.edge.roster.record import Hours
from ostiary.fleet.errors import FleetError
from ostiary.fleet.texts import schedule


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
