"""The link to a real broker that refuses, and what stays in the journal then."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.mqtt.outbox import LONGEST_WAIT_S
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.errors import ConfigError
from ostiary.edge.sections import MqttSection
from scripts import trial
from tests.support.fakes import FakeClock

TOPIC = "ostiary/1/test/device/door/decision"
PATIENCE_S = 20.0


def pumped(link: Link, journal: Journal, met: Callable[[], bool]) -> bool:
    """Pump until something holds; False where it never did."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        link.pump(journal, TOPIC)
        if met():
            return True
    return False


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "j.db")
    for _ in range(25):
        made.append(0.0, lambda seq: f"decision {seq}".encode())
    yield made
    made.close()


def made_link(port: int, clock: FakeClock, **settings: Any) -> Link:
    mqtt = MqttSection(host="127.0.0.1", port=port, **settings)
    link = Link(mqtt, "door", "ostiary/1/test/device/door/state", lambda session: b"lost", clock)
    link.start(1)
    return link


def test_what_the_broker_refuses_stays_and_is_sent_again_later(
    tmp_path: Path, journal: Journal
) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic read #\n")
    settings = f"allow_anonymous true\nacl_file {rights}"
    clock = FakeClock()
    with trial.Mosquitto(tmp_path / "broker", settings) as broker:
        link = made_link(broker.port, clock)
        assert pumped(link, journal, lambda: "refused a decision" in link.problem)
        assert pumped(link, journal, lambda: link.under_way == 0)
        assert journal.pending_count() == 25
        rights.write_text("topic readwrite #\n")
        broker.reload()

        def later() -> bool:
            clock.now += LONGEST_WAIT_S + 1
            return journal.pending_count() == 0

        assert pumped(link, journal, later), link.problem
        link.stop(b"offline", 1.0)


def test_a_broker_that_refuses_the_credentials_is_named(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "password").write_text("wrong\n")
    (tmp_path / "users").write_text("")
    settings = f"allow_anonymous false\npassword_file {tmp_path / 'users'}"
    with trial.Mosquitto(tmp_path / "broker", settings) as broker:
        link = made_link(
            broker.port, FakeClock(), username="door", password_file=tmp_path / "password"
        )
        assert pumped(link, journal, lambda: "refused" in link.problem)
        assert not link.connected
        assert journal.pending_count() == 25
        link.stop(b"offline", 1.0)


def test_credentials_that_can_not_be_read_are_a_clear_error(tmp_path: Path) -> None:
    for settings in ({"ca": tmp_path / "no.pem"},
                     {"username": "x", "password_file": tmp_path / "none"}):  # fmt: skip
        with pytest.raises(ConfigError, match="credentials cannot be used"):
            made_link(1, FakeClock(), **settings)
