"""Commands over a real broker: an operator's are obeyed, and an attacker's are events."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary.edge.adapters.mqtt.link import Filter, Link, Received
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import Response
from scripts import trial
from tests.support.doors.commanding import House, command
from tests.support.plain_peer import PATIENCE_S, PlainPeer


class Connected:
    """A door at the broker, and its loop."""

    def __init__(self, folder: Path, port: int) -> None:
        self.house = House(folder)
        self.house.now = time.time()
        self._topics: list[str] = []
        mqtt = MqttSection(host="127.0.0.1", port=port)
        state = self.house.topics.state
        self.link = Link(mqtt, "north", state, lambda session: b"lost", inbox=self._take)
        self.link.start(1)
        self.until(lambda: self.link.connected)
        self.house.link = self.link
        # What this connection says after it has subscribed comes back only once it has.
        marker = f"{state}/marker"
        assert self.link.subscribe([*self.house.commander.filters(), Filter(marker)])
        assert self.link.publish(marker, b"")
        self.until(lambda: marker in self._topics)

    def _take(self, message: Received) -> None:
        self.house.commander.put(message)
        self._topics.append(message.topic)

    def until(self, met: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not met():
            assert time.monotonic() < end, (self.link.problem, self.house.reporter.events)
            self.house.work()
            time.sleep(0.002)

    def close(self) -> None:
        self.link.stop(b"offline", 1.0)
        self.house.close()


class Operator(PlainPeer):
    """Asks, and hears the answers."""

    def __init__(self, port: int, door: Connected) -> None:
        super().__init__(port, "operator")
        self._door, self.topics = door, door.house.topics
        self.subscribe(self.topics.every_response)

    def ask(self, payload: bytes, name: str = "open", **more: object) -> None:
        said = {"answer_to": self.topics.response(name), "correlation": b"42", **more}
        self.publish(self.topics.command(name), payload, **said)  # type: ignore[arg-type]

    def opens(self, nonce: bytes | None = None) -> bytes:
        """A genuine command, not yet sent."""
        return command(self.topics.command("open"), time.time() + 30, nonce=nonce)

    def answered(self, name: str = "open") -> Response:
        self._door.until(lambda: not self.heard.empty())
        heard = self.next()
        assert (heard.topic, heard.correlation) == (self.topics.response(name), b"42")
        return self._door.house.answer(name, heard.payload)


@pytest.fixture
def door(tmp_path: Path, broker: trial.Mosquitto) -> Iterator[Connected]:
    made = Connected(tmp_path, broker.port)
    yield made
    made.close()


@pytest.fixture
def operator(broker: trial.Mosquitto, door: Connected) -> Iterator[Operator]:
    made = Operator(broker.port, door)
    yield made
    made.close()


def still_obeys(operator: Operator, door: Connected) -> None:
    """A genuine command is done, in spite of all that came before it, and nothing else was."""
    before = door.house.door.opened
    operator.ask(operator.opens())
    assert operator.answered().ok
    assert door.house.door.opened == before + 1


def test_a_door_is_opened_from_afar(operator: Operator, door: Connected) -> None:
    operator.ask(operator.opens(), expires_s=30)
    assert operator.answered().ok
    assert door.house.door.opened == 1


def test_a_template_is_gathered_and_comes_sealed(operator: Operator, door: Connected) -> None:
    topic = operator.topics.command("capture")
    operator.ask(command(topic, time.time() + 30, subject="alice"), "capture")
    door.until(lambda: door.house.capture.active)
    door.house.capture.end()
    answer = operator.answered("capture")
    assert (answer.ok, len(answer.template)) == (True, 8)


SOUTH = "ostiary/1/hq/device/south/command/open"


@pytest.mark.parametrize(
    ("reason", "made"),
    [
        ("unknown-operator", lambda t: command(t, time.time() + 30, seed=os.urandom(32))),
        ("other-site", lambda t: command(t, time.time() + 30, site_key=os.urandom(32))),
        ("expired", lambda t: command(t, time.time() - 1)),
        ("too-far-ahead", lambda t: command(t, time.time() + 7200)),
        ("moved", lambda t: command(SOUTH, time.time() + 30)),
        ("other-site", lambda t: command(t, time.time() + 30)[:-5]),
        ("other-site", lambda t: b"\x01" + os.urandom(200)),
        ("not-sealed", lambda t: os.urandom(1).replace(b"\x01", b"\x02") + os.urandom(200)),
        ("oversized", lambda t: os.urandom(900_000)),
    ],
)
def test_an_attackers_command_is_an_event(
    operator: Operator, door: Connected, reason: str, made: Callable[[str], bytes]
) -> None:
    operator.ask(made(operator.topics.command("open")))
    door.until(lambda: bool(door.house.refused))
    assert door.house.refused == [reason]
    assert door.house.door.opened == 0
    still_obeys(operator, door)


def test_a_hundred_megabytes_never_arrive(operator: Operator, door: Connected) -> None:
    operator.ask(bytes(100_000_000))
    still_obeys(operator, door)
    assert door.link.connection == 1
    assert door.house.refused == []


def test_a_command_that_is_retained_is_refused_when_live(
    operator: Operator, door: Connected
) -> None:
    operator.ask(operator.opens(), retain=True)
    door.until(lambda: bool(door.house.refused))
    assert door.house.refused == ["retained"]
    still_obeys(operator, door)


def test_a_command_that_was_retained_before_never_comes(
    tmp_path: Path, broker: trial.Mosquitto
) -> None:
    attacker = PlainPeer(broker.port, "attacker")
    house = House(tmp_path / "other")
    topic = house.topics.command("open")
    kept = command(topic, time.time() + 3000)
    attacker.publish(topic, kept, retain=True, answer_to=house.topics.response("open"))
    door = Connected(tmp_path, broker.port)
    operator = Operator(broker.port, door)
    still_obeys(operator, door)
    assert (door.house.door.opened, door.house.refused) == (1, [])
    for each in (operator, attacker, door, house):
        each.close()


def test_a_replay_is_refused_also_after_a_restart(
    operator: Operator, door: Connected, tmp_path: Path, broker: trial.Mosquitto
) -> None:
    taken = operator.opens()
    operator.ask(taken)
    assert operator.answered().ok
    operator.ask(taken)
    door.until(lambda: door.house.refused == ["replayed"])
    door.link.stop(b"offline", 1.0)
    again = Connected(tmp_path, broker.port)
    operator.ask(taken)
    again.until(lambda: again.house.refused == ["replayed"])
    assert (door.house.door.opened, again.house.door.opened) == (1, 0)
    again.close()


def test_what_was_asked_before_the_door_was_started_is_not_done(
    operator: Operator, door: Connected, tmp_path: Path, broker: trial.Mosquitto
) -> None:
    door.link.stop(b"offline", 1.0)
    # It waits in the session of a process that is gone; nobody stands there any more.
    operator.ask(operator.opens())
    again = Connected(tmp_path, broker.port)
    operator.ask(command(operator.topics.command("open"), again.house.now - 1))
    again.until(lambda: again.house.refused == ["expired"])
    assert again.house.door.opened == 0
    again.close()
