"""Who may pass: tables of people, doors and moments, and the hours against a naive loop."""

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.edge.core.rules.access import (
    DAY_MIN,
    EVERY_DAY,
    SPARE,
    Moment,
    Rights,
    SharedRights,
    Span,
    barred,
)
from ostiary.edge.core.types import Reason

MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
WEEKDAYS = 0b001_1111
WEEK_MIN = 7 * DAY_MIN
OFFICE = Span(WEEKDAYS, 8 * 60, 18 * 60)
NIGHT = Span(1 << FRI, 22 * 60, 6 * 60)


def at(weekday: int, hour: int, minute: int = 0) -> Moment:
    return Moment(1e9, weekday, 60 * hour + minute)


NOON = at(WED, 12)


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        (Rights(), None),
        (Rights(suspended=True), Reason.SUSPENDED),
        (Rights(valid_from_s=1e9, valid_until_s=1e9 + 1), None),
        (Rights(valid_from_s=1e9 + 1e-3), Reason.OUTSIDE_SCHEDULE),
        (Rights(valid_until_s=1e9), Reason.EXPIRED),
        (Rights(valid_until_s=0.0), Reason.EXPIRED),
        (Rights(valid_from_s=2e9, valid_until_s=1e9), Reason.EXPIRED),
        (Rights(schedule=(Span(0, 0, DAY_MIN),)), Reason.OUTSIDE_SCHEDULE),
        (Rights(schedule=(NIGHT, OFFICE)), None),
        # Several reasons: the first of this order is said.
        (Rights(("a",), None, 1e9, (NIGHT,), suspended=True), Reason.SUSPENDED),
        (Rights(("a",), None, 1e9, (NIGHT,)), Reason.EXPIRED),
        (Rights(("a",), 2e9, None, (NIGHT,)), Reason.NOT_HERE),
        (Rights(("door",), 2e9, None, (OFFICE,)), Reason.OUTSIDE_SCHEDULE),
        (Rights(("door",), None, None, (NIGHT,)), Reason.OUTSIDE_SCHEDULE),
        (Rights(("door",), 0.0, 2e9, (OFFICE,)), None),
    ],
)
def test_what_is_given_against_a_moment(rights: Rights, reason: Reason | None) -> None:
    assert barred(rights, ("door",) if rights.groups else (), NOON) is reason


@pytest.mark.parametrize(
    ("mine", "doors", "reason"),
    [
        ((), (), None),
        (("staff",), (), None),
        ((), ("staff",), Reason.NOT_HERE),
        (("staff",), ("staff",), None),
        (("staff", "night"), ("cleaners", "night"), None),
        (("staff",), ("staff-2", "sta"), Reason.NOT_HERE),
    ],
)
def test_one_group_in_common_is_enough(
    mine: tuple[str, ...], doors: tuple[str, ...], reason: Reason | None
) -> None:
    assert barred(Rights(mine), doors, NOON) is reason


@pytest.mark.parametrize(
    ("span", "moment", "inside"),
    [
        (OFFICE, at(MON, 8), True),
        (OFFICE, at(MON, 7, 59), False),
        (OFFICE, at(FRI, 17, 59), True),
        (OFFICE, at(FRI, 18), False),
        (OFFICE, at(SAT, 12), False),
        # Friday's night ends on Saturday, which has none of its own.
        (NIGHT, at(FRI, 22), True),
        (NIGHT, at(FRI, 21, 59), False),
        (NIGHT, at(FRI, 3), False),
        (NIGHT, at(SAT, 0), True),
        (NIGHT, at(SAT, 5, 59), True),
        (NIGHT, at(SAT, 6), False),
        (NIGHT, at(SAT, 23), False),
        # The week goes round.
        (Span(1 << SUN, 23 * 60, 60), at(MON, 0, 30), True),
        (Span(1 << SUN, 23 * 60, 60), at(SUN, 0, 30), False),
        # Whole days, and a day from one hour to the same of the next.
        (Span(1 << TUE, 0, DAY_MIN), at(TUE, 23, 59), True),
        (Span(1 << TUE, 0, DAY_MIN), at(WED, 0), False),
        (Span(1 << TUE, 0, 0), at(TUE, 0), True),
        (Span(1 << TUE, 0, 0), at(WED, 0), False),
        (Span(1 << TUE, 9 * 60, 9 * 60), at(WED, 8, 59), True),
        (Span(1 << TUE, 9 * 60, 9 * 60), at(WED, 9), False),
        (Span(1 << TUE, DAY_MIN, 60), at(TUE, 23, 59), False),
        (Span(1 << TUE, DAY_MIN, 60), at(WED, 0, 59), True),
        (Span(EVERY_DAY, 0, DAY_MIN), at(SUN, 23, 59), True),
    ],
)
def test_hours_begin_with_their_minute_and_end_before_it(
    span: Span, moment: Moment, inside: bool
) -> None:
    reason = barred(Rights(schedule=(span,)), (), moment)
    assert reason is (None if inside else Reason.OUTSIDE_SCHEDULE)


def minutes_of(span: Span) -> set[int]:
    """Every minute of the week that a span holds, counted one by one."""
    end = span.end_min if span.end_min > span.start_min else span.end_min + DAY_MIN
    days = [day for day in range(7) if span.days >> day & 1]
    return {(DAY_MIN * d + m) % WEEK_MIN for d in days for m in range(span.start_min, end)}


MINUTES = st.integers(0, DAY_MIN)
SPANS = st.builds(Span, st.integers(0, EVERY_DAY), MINUTES, MINUTES)


@given(schedule=st.lists(SPANS, min_size=1, max_size=3), picked=st.lists(st.integers(0, 10_079)))
@example(schedule=[Span(1 << SUN, 600, 600)], picked=[])
@example(schedule=[Span(EVERY_DAY, DAY_MIN, DAY_MIN)], picked=[])
def test_the_hours_are_those_of_a_naive_loop(schedule: list[Span], picked: list[int]) -> None:
    inside = set().union(*map(minutes_of, schedule))
    edges = {
        (DAY_MIN * day + minute + off) % WEEK_MIN
        for span in schedule for day in range(8)
        for minute in (span.start_min, span.end_min) for off in (-1, 0)
    }  # fmt: skip
    rights = Rights(schedule=tuple(schedule))
    for minute in edges | set(picked):
        reason = barred(rights, (), Moment(1e9, minute // DAY_MIN, minute % DAY_MIN))
        assert (reason is None) == (minute in inside), minute


@given(
    rights=st.builds(
        Rights,
        st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
        st.none() | st.floats(0, 1e11),
        st.none() | st.floats(0, 1e11),
        st.lists(SPANS, max_size=2).map(tuple),
        st.booleans(),
    ),
    doors=st.lists(st.sampled_from("abc"), max_size=2),
    at_s=st.floats(0, 1e11),
    weekday=st.integers(0, 6),
    minute=st.integers(0, DAY_MIN - 1),
)
def test_taking_something_away_never_lets_in(
    rights: Rights, doors: list[str], at_s: float, weekday: int, minute: int
) -> None:
    moment = Moment(at_s, weekday, minute)
    if barred(rights, doors, moment) is None:
        return
    less = [replace(rights, suspended=True), replace(rights, valid_until_s=0.0)]
    less += [replace(rights, groups=())] if doors else []
    for fewer in less:
        assert barred(fewer, doors, moment) is not None


@pytest.mark.parametrize("field", ["valid_from_s", "valid_until_s"])
def test_a_time_that_is_no_number_lets_nobody_in(field: str) -> None:
    wrong: dict[str, Any] = {field: float("nan")}
    good: dict[str, Any] = {field: 1e9}
    assert barred(replace(Rights(), **wrong), (), NOON) is not None
    assert barred(replace(Rights(), **good), (), replace(NOON, at_s=float("nan")))


def test_a_moment_is_what_a_calendar_says() -> None:
    """Monday is 0, as in `datetime`: the spans' bits rely on it."""
    monday = datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc)
    moment = Moment(monday.timestamp(), monday.weekday(), monday.hour * 60 + monday.minute)
    assert barred(Rights(schedule=(Span(1 << MON, 570, 571),)), (), moment) is None


def lent(number: int) -> Rights:
    """Rights made anew, as from a record."""
    return Rights(tuple("ab"), None, float(number), (Span(WEEKDAYS, 480, 1080),))


def test_equal_rights_are_one_object_and_so_are_their_parts() -> None:
    kinds = SharedRights()
    one, same, other = kinds.one(lent(1)), kinds.one(lent(1)), kinds.one(lent(2))
    assert one == lent(1)
    assert one is same
    assert other == lent(2)
    assert other.groups is one.groups
    assert other.schedule is one.schedule


def test_rights_that_nobody_has_any_more_are_let_go() -> None:
    kinds = SharedRights()
    kept = [kinds.one(lent(0)), kinds.one(lent(0))]
    for visitor in range(10 * SPARE):
        kinds.one(lent(visitor))
        kinds.tidy(kept)
        assert len(kinds) <= 2 * SPARE
    assert kinds.one(lent(0)) is kept[0]
    assert kinds.one(lent(7)).groups is kept[0].groups
