"""Refusals as events: the first at once, the next ones counted."""

from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import EVERY_S, MOST_REASONS, EventThrottle
from ostiary.edge.wire import StateMessage, Topics
from tests.support.fakes import FakeClock


class Heard(Reporter):
    """Keeps its events for the test."""

    def __init__(self) -> None:
        super().__init__(Topics("hq", "door"), StateMessage(status="online", session=0), lambda: 0)
        self.events: list[tuple[str, str]] = []

    def event(self, name: str, detail: str = "") -> None:
        self.events.append((name, detail))


def made() -> tuple[Heard, FakeClock, EventThrottle]:
    reporter, clock = Heard(), FakeClock()
    return reporter, clock, EventThrottle(reporter, clock)


def test_a_flood_is_one_event_and_then_a_count() -> None:
    reporter, clock, refusals = made()
    for number in range(1000):
        refusals.say("command-refused", "expired", f"open {number}")
        refusals.flush()
    assert reporter.events == [("command-refused", "expired: open 0")]
    clock.now += EVERY_S
    refusals.flush()
    assert reporter.events[1:] == [("command-refused", "expired: 999 more, the last: open 999")]
    refusals.say("command-refused", "expired", "open again")
    refusals.flush()
    assert len(reporter.events) == 2


def test_a_lasting_flood_is_one_event_each_time() -> None:
    reporter, clock, refusals = made()
    for _ in range(100):
        clock.now += 1.0
        refusals.say("roster-refused", "moved", "")
        refusals.flush()
    assert len(reporter.events) == 1 + 99 // int(EVERY_S)


def test_each_reason_and_event_counts_for_itself() -> None:
    reporter, _, refusals = made()
    refusals.say("command-refused", "expired", "")
    refusals.say("command-refused", "replayed", "")
    refusals.say("roster-refused", "expired", "")
    expected = [("command-refused", "expired"), ("command-refused", "replayed")]
    assert reporter.events == [*expected, ("roster-refused", "expired")]


def test_what_is_over_is_told_at_once_again() -> None:
    reporter, clock, refusals = made()
    refusals.say("command-refused", "expired", "a")
    clock.now += EVERY_S
    refusals.flush()
    assert len(reporter.events) == 1
    refusals.say("command-refused", "expired", "b")
    assert reporter.events[1:] == [("command-refused", "expired: b")]


def test_a_stranger_writes_no_lines_and_no_long_ones() -> None:
    reporter, _, refusals = made()
    refusals.say("command-refused", "moved", "a\nb\x1b[31m" + "x" * 10_000)
    (_, detail) = reporter.events[0]
    assert detail.startswith("moved: a?b?[31mxxx")
    assert len(detail) < 200


def test_reasons_that_never_end_do_not_grow() -> None:
    reporter, _, refusals = made()
    for number in range(1000):
        refusals.say("command-refused", f"made up {number}", "")
    assert len(reporter.events) == MOST_REASONS
