"""What is worth showing of all that devices say."""

from __future__ import annotations

import pytest
from fake_door import decision, event

from edge.adapters.mqtt import Received
from edge.wire import StateMessage, encode
from fleet.watch import Watch, line


def heard(name: str, kind: str, payload: bytes, retained: bool = False) -> Received:
    return Received(f"ostiary/1/hq/device/{name}/{kind}", payload, retained, None, None)


def test_watching_drops_what_was_said_twice_and_wills_that_are_stale() -> None:
    watch = Watch("hq")
    one, two = encode(decision(1)), encode(decision(2))
    shown = [watch.take(heard("north", "decision", payload)) for payload in (one, two, one)]
    assert [seen is not None for seen in shown] == [True, True, False]
    assert watch.take(heard("south", "decision", one)) is not None
    states = [("online", 2), ("lost", 1), ("online", 2), ("lost", 2), ("online", 3)]
    taken = [
        watch.take(heard("north", "state", encode(StateMessage(status=s, session=n))))
        for s, n in states
    ]
    assert [seen is not None for seen in taken] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [("ostiary/1/hq/device/north/decision", b"{}"), ("ostiary/1/lab/device/n/event", b"{}"),
     ("ostiary/1/hq/device/NORTH/event", encode(event("x"))), ("elsewhere", b""),
     ("ostiary/1/hq/device/north/decision", b"\xff\x00"),
     ("ostiary/1/hq/device/north/roster", b"{}")],
)  # fmt: skip
def test_watching_survives_whatever_comes(topic: str, payload: bytes) -> None:
    assert Watch("hq").take(Received(topic, payload, False, None, None)) is None


def test_an_old_decision_that_somebody_retained_is_not_live() -> None:
    assert Watch("hq").take(heard("n", "decision", encode(decision(1)), retained=True)) is None


def test_a_decision_in_a_line() -> None:
    seen = Watch("hq").take(heard("north", "decision", encode(decision(1))))
    assert seen is not None
    text, colour = line(seen, lambda subject: f"Alice ({subject})")
    assert text == "2026-11-22T08:00:01Z north granted (matched) Alice (alice) score 0.500"
    assert colour == "green"
