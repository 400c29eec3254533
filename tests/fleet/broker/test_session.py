"""Publishing to a real Mosquitto: default limits, TLS, and every kind of refusal."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.readback import Readback, exact
from ostiary.fleet.broker.session import Broker, Retained
from ostiary.fleet.publishing.publish import publish, publish_changes
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.site.fleet import Fleet
from scripts import trial
from tests.support.fleet.memory_broker import Door, enroll, many
from tests.support.site_broker import HOST, Authority, SiteBroker


def at(fleet: Fleet, port: int, host: str = HOST, **settings: Any) -> Fleet:
    """The same fleet at another broker."""
    return Fleet(
        fleet.folder, msgspec.structs.replace(fleet.settings, host=host, port=port, **settings)
    )


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[trial.Mosquitto]:
    with trial.Mosquitto(tmp_path / "broker", lasting=False) as running:
        yield running


@pytest.fixture
def plain(fleet: Fleet, mosquitto: trial.Mosquitto) -> Iterator[Fleet]:
    with at(fleet, mosquitto.port) as opened:
        yield opened


def over_tls(fleet: Fleet, site: SiteBroker, authority: Authority, name: str) -> Fleet:
    cert, key = authority.client(name, name)
    return at(fleet, site.port, ca=authority.folder / "ca.crt", cert=cert, key=key)


def kept_at(fleet: Fleet) -> dict[str, bytes]:
    """The broker's retained roster topics of this fleet."""
    voice, kept = Voice(fleet), {}
    registry = fleet.registry()
    topics = [voice.topics.index(name) for name in registry.roster.changed_shards(0)]
    topics += [voice.topic_of(subject) for subject in registry.roster.entries()] + [
        voice.topics.head
    ]
    with Broker(fleet.mqtt()) as broker:
        for window in Readback(broker).read(exact(topics)):
            kept.update(window)
    return kept


def assert_equal(fleet: Fleet) -> None:
    door = Door(fleet)
    door.pull(kept_at(fleet))
    assert door.complete
    assert {s: r.revision for s, r in door.records.items()} == fleet.registry().roster.entries()


def test_a_default_broker_is_filled_read_back_and_left_alone(plain: Fleet) -> None:
    many(plain, 3000)
    first, again = publish(plain), publish(plain)
    assert (first.missing, first.changed) == (3000, 0)
    assert (again.missing, again.changed, again.indexes, again.cleared) == (0, 0, 0, 0)
    assert_equal(plain)


def test_a_broker_that_lost_its_database_is_refilled(
    plain: Fleet, mosquitto: trial.Mosquitto
) -> None:
    enroll(plain, "alice", "bob")
    publish(plain)
    mosquitto.kill()
    mosquitto.start()
    enroll(plain, "carol")
    done = publish_changes(plain)
    assert done.everything
    assert done.missing == 3
    assert_equal(plain)


def test_garbage_is_repaired_and_what_is_strange_is_cleared(plain: Fleet) -> None:
    many(plain, 900)
    publish(plain)
    voice = Voice(plain)
    broken, strange = voice.topic_of("p000007"), voice.topic_of("nobody")
    with Broker(plain.mqtt()) as broker:
        broker.publish([Retained(broken, b"garbage"), Retained(strange, b"strange")])
    done = publish(plain)
    assert (done.missing, done.changed, done.cleared) == (0, 1, 1)
    with Broker(plain.mqtt()) as broker:
        assert broker.read([strange]) == {}
    assert_equal(plain)


def test_changes_and_an_erasure_reach_the_broker(plain: Fleet) -> None:
    enroll(plain, "alice", "bob", "carol")
    publish(plain)
    plain.registry().erase("alice", 2000.0)
    plain.registry().revoke("bob", 2000.0)
    topic = Voice(plain).topic_of("alice")
    done = publish_changes(plain)
    assert (done.everything, done.changed, done.cleared) == (False, 1, 1)
    with Broker(plain.mqtt()) as broker:
        assert broker.read([topic]) == {}
    assert_equal(plain)


def test_a_broker_that_queues_a_hundred_is_read_back_whole(fleet: Fleet, tmp_path: Path) -> None:
    settings = "allow_anonymous true\nmax_queued_messages 100"
    with (
        trial.Mosquitto(tmp_path / "small", settings, lasting=False) as small,
        at(fleet, small.port) as there,
    ):
        many(there, 1500)
        assert publish(there).missing == 1500
        again = publish(there)
        assert (again.missing, again.changed, again.indexes) == (0, 0, 0)


def test_the_operator_publishes_over_tls_and_the_access_list(
    fleet: Fleet, site: SiteBroker, authority: Authority
) -> None:
    with over_tls(fleet, site, authority, "ostiary.operator") as there:
        enroll(there, "alice")
        assert publish(there).missing == 1
        assert_equal(there)


def test_a_device_can_not_publish_the_roster(
    fleet: Fleet, site: SiteBroker, authority: Authority
) -> None:
    with over_tls(fleet, site, authority, "north-door") as there:
        enroll(there, "bob")
        with pytest.raises(BrokerError, match=r"refused to keep .*/roster/.*: Not authorized"):
            # The broker may still hold the roster of the test above, sealed with other keys.
            publish(there, take_over=True)
        assert there.registry().roster.published == 0


def test_who_may_write_and_not_read_is_told(fleet: Fleet, tmp_path: Path) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic write #\n")
    settings = f"allow_anonymous true\nacl_file {rights}"
    with (
        trial.Mosquitto(tmp_path / "blind", settings, lasting=False) as blind,
        at(fleet, blind.port) as there,
    ):
        enroll(there, "alice")
        with pytest.raises(BrokerError, match="does not give it back"):
            publish(there)


def test_credentials_that_are_refused_are_named(
    fleet: Fleet, tmp_path: Path, site: SiteBroker, authority: Authority
) -> None:
    (tmp_path / "password").write_text("wrong\n")
    (tmp_path / "users").write_text("")
    settings = f"allow_anonymous false\npassword_file {tmp_path / 'users'}"
    with trial.Mosquitto(tmp_path / "closed", settings, lasting=False) as closed:
        there = at(
            fleet, closed.port, username="operator", password_file=tmp_path / "password"
        )  # fmt: skip
        with pytest.raises(BrokerError, match="refused the operator: Not authorized") as refused:
            publish(there)
        assert "password_file" in refused.value.hint
    nobody = at(fleet, site.port, ca=authority.folder / "ca.crt")
    with pytest.raises(BrokerError, match=r"closed the connection|TLS with") as refused:
        publish(nobody)
    assert "certificate" in refused.value.hint or "TLS" in refused.value.hint
    missing = at(fleet, site.port, ca=tmp_path / "none.crt")
    with pytest.raises(BrokerError, match="credentials for the broker cannot be used"):
        publish(missing)


# paho leaves a socket open whose handshake failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_authority_or_another_name_is_no_broker_of_ours(
    fleet: Fleet, site: SiteBroker, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(BrokerError, match=r"certificate of .* is not accepted"):
        publish(at(fleet, site.port, ca=other.folder / "ca.crt"))
    with pytest.raises(BrokerError, match=r"certificate of .* is not accepted"):
        publish(at(fleet, site.port, host="localhost", ca=authority.folder / "ca.crt"))
    gc.collect()


def test_a_broker_that_is_not_there_is_said(fleet: Fleet, mosquitto: trial.Mosquitto) -> None:
    with pytest.raises(BrokerError, match=r"cannot reach the broker at 127\.0\.0\.1:\d+"):
        publish(at(fleet, trial.free_port()))
    with pytest.raises(BrokerError, match=r"no host is called no-such-host\.invalid"):
        publish(at(fleet, 1883, host="no-such-host.invalid"))


def test_a_listener_that_is_no_broker_is_said(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostiary.fleet.broker.connection.CONNECT_S", 0.2)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        with pytest.raises(BrokerError, match="says nothing"):
            publish(at(fleet, listener.getsockname()[1]))


def test_a_broker_that_dies_in_the_middle_is_said_and_the_next_time_completes(
    plain: Fleet, mosquitto: trial.Mosquitto
) -> None:
    many(plain, 2000)

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "publishing" and done > 700:
            mosquitto.kill()

    with pytest.raises(BrokerError, match="was lost"):
        publish(plain, told=kill)
    mosquitto.start()
    publish(plain)
    assert_equal(plain)
