"""The time at the door: its own timezone, summer time, and a clock that starts in 1970."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from ostiary.edge.clock import WallClock
from ostiary.edge.core.rules.access import Moment
from tests.support.fakes import FakeClock


def utc(year: int, month: int, day: int, hour: int, minute: int) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=timezone.utc).timestamp()


@pytest.fixture
def system_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the system's own timezone, for this test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("at_s", "zone", "weekday", "hour", "minute"),
    [
        (utc(2026, 11, 22, 23, 30), "UTC", 6, 23, 30),
        (utc(2026, 11, 22, 23, 30), "Europe/Berlin", 0, 0, 30),
        (utc(2026, 11, 22, 23, 30), "America/New_York", 6, 18, 30),
        (utc(2026, 11, 22, 23, 30), "Asia/Kolkata", 0, 5, 0),
        # Summer time begins and ends: local time jumps, and schedules with it.
        (utc(2026, 3, 29, 0, 59), "Europe/Berlin", 6, 1, 59),
        (utc(2026, 3, 29, 1, 0), "Europe/Berlin", 6, 3, 0),
        (utc(2026, 10, 25, 0, 59), "Europe/Berlin", 6, 2, 59),
        (utc(2026, 10, 25, 1, 0), "Europe/Berlin", 6, 2, 0),
    ],
)
@pytest.mark.parametrize("whose", ["the profile's", "the system's"])
def test_schedules_use_the_doors_own_timezone(
    at_s: float, zone: str, weekday: int, hour: int, minute: int, whose: str,
    system_in: Callable[[str], None],
) -> None:  # fmt: skip
    system_in("Pacific/Auckland" if whose == "the profile's" else zone)
    wall = WallClock(zone if whose == "the profile's" else "", lambda: at_s + 0.25)
    assert wall() == Moment(at_s + 0.25, weekday, 60 * hour + minute)


def test_the_time_never_falls_below_the_floor_which_runs_on() -> None:
    system, running = FakeClock(), FakeClock()
    wall = WallClock("UTC", system, running)
    assert wall().at_s == system.now, "1970, and nothing is known yet"
    assert wall.behind_s <= 0
    signed = utc(2026, 11, 23, 9, 15)
    wall.known(signed)
    assert wall() == Moment(signed, 0, 9 * 60 + 15)
    assert wall.behind_s == signed - system.now
    running.now += 120
    assert wall() == Moment(signed + 120, 0, 9 * 60 + 17), "without a clock time still passes"
    wall.known(signed)
    assert wall().at_s == signed + 120, "the same head says nothing new"
    system.now = signed + 600
    assert wall() == Moment(signed + 600, 0, 9 * 60 + 25)
    assert wall.behind_s < 0
    system.now = 0.0
    assert wall().at_s == signed + 120, "a clock that jumps back brings nobody's days back"


def test_the_next_head_corrects_a_floor_that_was_set_too_late() -> None:
    system = FakeClock()
    system.now = utc(2026, 11, 23, 9, 15)
    wall = WallClock("UTC", system, FakeClock())
    wall.known(system.now + 9 * 365 * 86400)
    assert wall().at_s == system.now + 9 * 365 * 86400
    wall.known(system.now - 60)
    assert wall().at_s == system.now
