"""Which of the devices' messages `watch` shows, and how."""

from __future__ import annotations

import msgspec
import pytest

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.wire import StateMessage, encode
from ostiary.fleet.cli.broker import _row
from ostiary.fleet.doors.command import CommandError
from ostiary.fleet.doors.status import DeviceStatus
from ostiary.fleet.doors.watch import Watch, line
from ostiary.fleet.enrollment.reembed import _check_nobody_loses
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.terminal import plain
from tests.support.fleet.fake_door import decision, event


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


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    evil = "\x1b[2J\x1b]0;pwned\x07\r\n2026 north granted \x9b1m\u202e"
    for kind, message in (
        ("event", msgspec.structs.replace(event("x"), event=evil, detail=evil, at=evil)),
        ("decision", msgspec.structs.replace(decision(1), at=evil)),
        ("state", StateMessage(status=evil, session=1, at=evil)),
    ):
        seen = Watch("hq").take(heard("north", kind, encode(message)))
        assert seen is not None
        text, _ = line(seen, lambda subject: subject)
        assert text.isprintable()
        assert "[2J" in text
    assert plain("a" * 1000) == "a" * 200 + "..."
    assert plain("Zoë (zoë), 名") == "Zoë (zoë), 名"


def test_status_and_refusals_show_nothing_that_a_terminal_would_obey() -> None:
    evil = "\x1b[2J\r\n\x07"
    device = DeviceStatus(
        device="north", provisioned=True, status=evil, current=False, seen_at=evil, sequence=1,
        lag=0, encoder=evil, expected_fnir=0.5, tau_group=evil,
    )  # fmt: skip
    assert all(cell.isprintable() for cell in _row(device))
    assert all(cell.isprintable() for cell in _row(msgspec.structs.replace(device, sequence=None)))
    assert "50.0%" in _row(device)[7]
    assert "-" in _row(msgspec.structs.replace(device, expected_fnir=None))
    assert CommandError(f"north did not open: {evil}").message.isprintable()
    with pytest.raises(FleetError) as refused:
        _check_nobody_loses(Nobody(), "a", "b", {"north": evil})
    assert refused.value.message.isprintable()


class Nobody(Registry):
    def __init__(self) -> None:
        """A connection that is never used."""


def test_a_decision_in_a_line() -> None:
    seen = Watch("hq").take(heard("north", "decision", encode(decision(1))))
    assert seen is not None
    text, colour = line(seen, lambda subject: f"Alice ({subject})")
    assert text == "2026-11-22T08:00:01Z north granted (matched) Alice (alice) score 0.500"
    assert colour == "green"
