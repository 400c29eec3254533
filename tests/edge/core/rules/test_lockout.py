"""Lockout as lists of timed events: card after card, who stays, and who is not delayed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ostiary.edge.core.rules import lockout
from ostiary.edge.core.rules.evidence import Claim, Evidence, Tick
from ostiary.edge.core.rules.lockout import Locked, LockoutRules
from ostiary.edge.core.rules.policy import State, step
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.types import Candidate, Decision, Reason
from tests.support.policy_run import IDENTIFY, TAU, VERIFY, K

FRAME_S = 0.1
LIMITS = LockoutRules(failures=3, window_s=60.0, for_s=30.0, most_s=100.0)
CARDS, FACES = replace(VERIFY, lockout=LIMITS), replace(IDENTIFY, lockout=LIMITS)


def seen(subject: str, score: float, track: int = 1) -> Evidence:
    return Evidence(track, TAU, K, candidates=(Candidate(subject, score),))


def tries(card: str, track: int = 1, score: float = 0.2) -> list[Any]:
    """Half a second with a card: by its owner if the score is high."""
    return [Claim(card, enrolled=True), *[seen(card, score, track)] * 4]


class Told:
    """What a door decides and locks, event by event."""

    def __init__(self, rules: Rules, state: State | None = None, now: float = 100.0) -> None:
        self.rules, self.state, self.now = rules, state or State(), now
        self.decisions: list[Decision] = []
        self.locks: list[Locked] = []

    def sees(self, *events: Any) -> list[str]:
        """The reasons of the decisions about these events."""
        first = len(self.decisions)
        for event in events:
            self.state, decision = step(self.rules, self.state, event, self.now)
            self.now += FRAME_S
            self.locks += self.state.locked
            if decision is not None:
                self.decisions.append(decision)
        return [decision.reason.value for decision in self.decisions[first:]]

    def waits(self, seconds: float) -> None:
        self.now += seconds
        self.sees(Tick())


def cards(door: Told, *names: str, track: int = 1) -> list[str]:
    return [reason for name in names for reason in door.sees(*tries(name, track))]


def test_card_after_card_locks_the_face_out() -> None:
    door = Told(CARDS)
    assert cards(door, "a", "b", "c", "d", "e") == ["mismatch"] * 3 + ["locked-out"] * 2
    assert door.locks == [Locked("face/1", 3, 3, 30.0)]
    assert str(door.locks[0]) == (
        "face/1: 3 denials, locked for 30 s; 3 denials at this door within the window"
    )


def test_a_locked_face_does_not_get_in_with_its_own_card_either() -> None:
    door = Told(CARDS)
    cards(door, "a", "b", "c")
    assert door.sees(*tries("mine", score=0.9)) == ["locked-out"]
    door.waits(31.0)
    assert door.sees(*tries("mine", score=0.9)) == ["matched"]


def test_in_a_hundred_cards_a_face_gets_few_looks() -> None:
    door = Told(CARDS)
    reasons = cards(door, *(f"card-{number}" for number in range(100)))
    assert len(reasons) == 100
    assert reasons.count("mismatch") <= 6
    assert set(reasons) == {"mismatch", "locked-out"}


def test_each_lock_lasts_twice_as_long_up_to_the_longest() -> None:
    door = Told(CARDS)
    for expected in (30.0, 60.0, 100.0, 100.0):
        cards(door, "a", "b", "c")
        assert door.locks[-1].for_s == expected
        door.waits(expected + 0.5)
    door.waits(LIMITS.most_s + LIMITS.window_s)
    cards(door, "a", "b", "c")
    assert door.locks[-1].for_s == 30.0, "what is long past is forgotten"


def test_denials_farther_apart_than_the_window_lock_nobody() -> None:
    door = Told(CARDS)
    for _ in range(6):
        cards(door, "a")
        door.waits(31.0)
    assert door.locks == []


def test_a_card_that_several_faces_try_is_locked_for_all() -> None:
    door = Told(CARDS)
    for track in (1, 2, 3):
        cards(door, "alice", track=track)
    assert [lock.key for lock in door.locks] == ["card/alice"]
    assert door.sees(*tries("alice", track=4, score=0.9)) == ["locked-out"]
    assert door.sees(*tries("bob", track=5, score=0.9)) == ["matched"]


def test_another_face_is_not_delayed_by_a_stranger_who_is_locked_out() -> None:
    door = Told(CARDS)
    cards(door, "a", "b", "c")
    assert door.sees(*tries("bob", track=2, score=0.9)) == ["matched"]
    crowd = Told(FACES)
    stays = [seen("bob", 0.3), seen("alice", 0.9, 2)]
    assert crowd.sees(*[seen("bob", 0.3)] * 400) == ["unknown", "locked-out"]
    assert crowd.sees(*stays * 3) == ["matched"]
    assert crowd.decisions[-1].track == 2


def test_a_stranger_who_stays_is_locked_out_and_may_not_pass_meanwhile() -> None:
    door = Told(FACES)
    assert door.sees(*[seen("bob", 0.3)] * 120) == ["unknown", "locked-out"]
    assert door.locks == [Locked("face/1", 3, 3, 30.0)]
    assert door.sees(*[seen("bob", 0.9)] * 50) == []
    door.waits(26.0)
    assert door.sees(*[seen("bob", 0.9)] * 3) == ["matched"]


def test_attempts_without_a_usable_face_are_not_charged() -> None:
    door = Told(CARDS)
    dark = Evidence(1, TAU, K, failures=("too-dark",))
    for _ in range(10):
        door.sees(Claim("alice", enrolled=True), *[dark] * 25)
    assert {d.reason for d in door.decisions} == {Reason.LOW_QUALITY}
    assert door.sees(*tries("alice", score=0.9)) == ["matched"]


def test_who_is_recognised_and_barred_is_not_charged() -> None:
    door = Told(CARDS)
    barred = replace(seen("alice", 0.9), barred=Reason.OUTSIDE_SCHEDULE)
    for _ in range(9):
        door.sees(Claim("alice", enrolled=True), barred, barred)
    assert (door.locks, set(door.state.strikes)) == ([], set())


def test_a_card_that_nobody_has_is_counted_at_the_door_alone() -> None:
    door = Told(CARDS)
    for number in range(9):
        door.sees(Claim(f"guess-{number}", enrolled=False))
    assert set(door.state.strikes) == {lockout.DOOR}
    assert door.locks == []
    assert door.sees(*tries("alice", score=0.9)) == ["matched"]


def test_a_grant_clears_what_was_counted() -> None:
    door = Told(CARDS)
    for _ in range(4):
        cards(door, "alice", "alice")
        assert door.sees(*tries("alice", score=0.9)) == ["matched"]
    assert door.locks == []


def test_without_failures_nothing_is_ever_locked() -> None:
    door = Told(replace(CARDS, lockout=replace(LIMITS, failures=0)))
    assert set(cards(door, *"abcdefghij")) == {"mismatch"}


def test_memory_of_denials_does_not_grow() -> None:
    door = Told(CARDS)
    for number in range(300):
        cards(door, f"card-{number}", track=number)
        door.waits(1.0)
    assert len(door.state.strikes) < 130


def test_a_restart_ends_no_lockout() -> None:
    door = Told(CARDS)
    cards(door, "a", "b", "c")
    cards(door, "d", track=2)
    held = lockout.stored(door.state.strikes, door.now)
    assert set(held) == {lockout.DOOR, lockout.ANY_FACE, "card/a", "card/b", "card/c", "card/d"}
    again = lockout.restored(LIMITS, held, ago_s=10.0, now=5000.0)
    door = Told(CARDS, State(strikes=again), now=5000.0)
    assert door.sees(*tries("alice", track=1, score=0.9)) == ["locked-out"], "no face is known yet"
    door.waits(20.0)
    assert door.sees(*tries("alice", track=1, score=0.9)) == ["matched"]


@pytest.mark.parametrize("ago_s", [-1e6, 0.0])
def test_a_clock_that_was_set_back_makes_a_lock_no_longer(ago_s: float) -> None:
    held: dict[str, tuple[list[float], int, float]] = {"card/alice": ([], 4, 1e9)}
    again = lockout.restored(LIMITS, held, ago_s, now=50.0)
    assert lockout.is_locked(again, None, "alice", 50.0 + LIMITS.most_s - 1)
    assert not lockout.is_locked(again, None, "alice", 50.0 + LIMITS.most_s)


def test_the_limits_are_finite_whatever_the_number_of_locks() -> None:
    struck = lockout.Strikes((99.0, 99.5), 2000, 0.0)
    _, (lock,) = lockout.charge(LIMITS, {"face/1": struck}, ["face/1"], 100.0)
    assert lock.for_s == LIMITS.most_s
