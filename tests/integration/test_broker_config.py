"""The shipped Mosquitto conf and ACL, on a real broker: who may say and read what."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.config import load_config
from ostiary.edge.wire import Topics
from tests.support.doors.real_daemon import eventually
from tests.support.site_broker import (
    CONFIGS,
    HOST,
    PATIENCE_S,
    Authority,
    Connect,
    Peer,
    SiteBroker,
    changed,
)

TAKEN, NOT_AUTHORIZED = (0, 0x10), 0x87
"""MQTT 5 reasons of a PUBACK: taken, also where nobody listens; not authorized."""
NORTH, SOUTH = "ostiary/1/hq/device/north-door", "ostiary/1/hq/device/south-door"
HEAD = "ostiary/1/hq/roster/head"
OPERATOR, MONITOR = "ostiary.operator", "ostiary.monitor"


@pytest.fixture
def connect(site: SiteBroker, authority: Authority) -> Iterator[Connect]:
    """Connect as somebody: their name is their certificate's CN, their client id and their file."""
    peers: list[Peer] = []

    def connected(name: str, client_id: str = "", file: str = "", **more: Any) -> Peer:
        file = file or name
        made = authority.folder / f"{file}.crt", authority.folder / f"{file}.key"
        identity = made if made[0].exists() else authority.client(name, file)
        ca = authority.folder / "ca.crt"
        peers.append(Peer(site, ca, identity, client_id or f"test-{file}", **more))
        assert peers[-1].fate == "Success"
        return peers[-1]

    yield connected
    for peer in peers:
        peer.close()


@pytest.mark.parametrize(
    "topic", ["state", "roster", "decision", "event", "telemetry", "response/open"]
)
def test_a_device_says_what_is_its_own_and_the_operator_hears_it(
    connect: Connect, topic: str
) -> None:
    operator = connect(OPERATOR)
    operator.subscribe("ostiary/#")
    assert connect("north-door").publish(f"{NORTH}/{topic}", topic.encode()) in TAKEN
    assert operator.next() == (f"{NORTH}/{topic}", topic.encode())


@pytest.mark.parametrize(
    "topic",
    [
        f"{SOUTH}/decision",
        f"{SOUTH}/state",
        f"{SOUTH}/roster",
        HEAD,
        "ostiary/1/hq/roster/subject/0/alice",
        f"{NORTH}/command/open",
        f"{SOUTH}/command/open",
        f"{SOUTH}/response/open",
        f"{NORTH}/response",
        f"{NORTH}/response/open/more",
        f"{NORTH}/decision/more",
        f"{NORTH}/anything",
        "ostiary/1/lab/device/north-door/state",
        "homeassistant/device/south-door/config",
        "homeassistant/status",
        "elsewhere",
    ],
)
def test_a_device_says_nothing_else(connect: Connect, topic: str) -> None:
    assert connect("north-door").publish(topic) == NOT_AUTHORIZED


def test_a_device_announces_itself_to_home_assistant(connect: Connect) -> None:
    north, home = connect("north-door"), connect(MONITOR)
    home.subscribe("homeassistant/#")
    assert north.publish("homeassistant/device/north-door/config", b"{}") in TAKEN
    assert home.next() == ("homeassistant/device/north-door/config", b"{}")
    north.subscribe("homeassistant/status")
    assert home.publish("homeassistant/status", b"online") in TAKEN
    assert north.next() == ("homeassistant/status", b"online")


def test_a_device_reads_the_roster_and_its_own_commands_and_nothing_of_others(
    connect: Connect,
) -> None:
    north, south, operator = connect("north-door"), connect("south-door"), connect(OPERATOR)
    north.subscribe("#")
    north.subscribe(f"{SOUTH}/decision")
    assert south.publish(f"{SOUTH}/decision", b"seen by the operator only") in TAKEN
    assert south.publish(f"{SOUTH}/response/open", b"an answer of the other door") in TAKEN
    assert operator.publish(f"{SOUTH}/command/open", b"for the other door") in TAKEN
    assert operator.publish(HEAD, b"sealed") in TAKEN
    assert operator.publish(f"{NORTH}/command/open", b"for this door") in TAKEN
    # Messages arrive in order: what was not let through would have come first.
    came = [north.next(), north.next()]
    assert came == [(HEAD, b"sealed"), (f"{NORTH}/command/open", b"for this door")]


def test_a_retained_roster_waits_for_a_device(connect: Connect) -> None:
    operator = connect(OPERATOR)
    assert operator.publish(HEAD, b"retained", retain=True) in TAKEN
    north = connect("north-door")
    north.subscribe("ostiary/1/hq/roster/#")
    assert north.next() == (HEAD, b"retained")
    operator.publish(HEAD, b"", retain=True)


def test_the_operator_speaks_for_no_device_and_the_monitor_for_nobody(connect: Connect) -> None:
    operator = connect(OPERATOR)
    for topic in (f"{NORTH}/decision", f"{NORTH}/response/open"):
        assert operator.publish(topic) == NOT_AUTHORIZED
    monitor = connect(MONITOR)
    for topic in (HEAD, f"{NORTH}/command/open", f"{NORTH}/response/open", f"{NORTH}/state"):
        assert monitor.publish(topic) == NOT_AUTHORIZED


@pytest.mark.parametrize(("name", "file"), [("+", "plus"), ("#", "hash"), ("north-door/+", "both")])
def test_a_name_that_is_a_wildcard_is_nobody(connect: Connect, name: str, file: str) -> None:
    wild = connect(name, file=file)
    for topic in (f"{NORTH}/state", HEAD):
        assert wild.publish(topic) == NOT_AUTHORIZED
    wild.subscribe("#")
    assert connect(OPERATOR).publish(HEAD, b"not for wildcards") in TAKEN
    # The answer to a second subscription comes after whatever the first one brought.
    wild.subscribe("homeassistant/status")
    assert wild.received.empty()


@pytest.mark.parametrize(("topic", "heard"), [(f"{NORTH}/state", True), (f"{SOUTH}/state", False)])
def test_a_will_speaks_for_its_own_device_only(connect: Connect, topic: str, heard: bool) -> None:
    operator = connect(OPERATOR)
    operator.subscribe(f"{topic[: topic.rindex('/')]}/#")
    connect("north-door", client_id="taken-over", will=(topic, b"lost"))
    # The same client id again throws the first off, and its will is spoken before the answer.
    north = connect("north-door", client_id="taken-over")
    speaker, last = (north, NORTH) if heard else (connect("south-door"), SOUTH)
    assert speaker.publish(f"{last}/event", b"after") in TAKEN
    expected = [(topic, b"lost")] if heard else []
    expected.append((f"{last}/event", b"after"))
    assert [operator.next() for _ in expected] == expected


def test_without_a_certificate_of_this_authority_nobody_gets_in(
    site: SiteBroker, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other").client("north-door", "north-door")
    for identity, why in ((None, "peer did not return a certificate"),
                          (stranger, "certificate verify failed")):  # fmt: skip
        before = site.log().count(why)
        peer = Peer(site, authority.folder / "ca.crt", identity, "intruder")
        peer.close()
        assert peer.fate.startswith("gone")
        assert eventually(lambda: site.log().count(why) > before)  # noqa: B023


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_of_another_authority_is_not_trusted(
    site: SiteBroker, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    ours = authority.client("east-door", "east-door")
    peer = Peer(site, other.folder / "ca.crt", ours, "east-door")
    peer.close()
    assert peer.fate == "gone: cannot connect"
    del peer
    gc.collect()


def test_the_link_of_a_shipped_profile_reports_through_the_shipped_broker(
    connect: Connect, site: SiteBroker, authority: Authority, tmp_path: Path
) -> None:
    cert, key = authority.client("north-door", "link")
    profile = tmp_path / "door.toml"
    profile.write_text(
        changed(
            (CONFIGS / "jetson-orin-nano.toml").read_text(),
            ('"broker.example"', f'"{HOST}"'),
            ("port = 8883", f"port = {site.port}"),
            ("/etc/ostiary/certs/ca.crt", str(authority.folder / "ca.crt")),
            ("/etc/ostiary/certs/device.crt", str(cert)),
            ("/run/credentials/ostiary.service/mqtt-key", str(key)),
        )
    )
    config = load_config(profile)
    assert config.mqtt is not None
    topics = Topics(config.device.site, config.device.id)
    journal = Journal(tmp_path / "journal.db")
    journal.append(0.0, lambda seq: b"decision 1")
    operator = connect(OPERATOR)
    operator.subscribe(topics.decision)
    link = Link(config.mqtt, "ostiary-hq-north-door", topics.state, lambda session: b"lost")
    link.start(1)
    until = time.monotonic() + PATIENCE_S
    while journal.pending_count() and time.monotonic() < until:
        link.pump(journal, topics.decision)
    assert journal.pending_count() == 0, link.problem
    assert operator.next() == (topics.decision, b"decision 1")
    link.stop(b"offline", 1.0)
    journal.close()


def test_one_wildcard_gets_more_than_mosquittos_own_limit_lets_through(connect: Connect) -> None:
    many, base = 1500, "ostiary/1/hq/roster/subject/0"
    operator = connect(OPERATOR)
    for number in range(many):
        assert operator.publish(f"{base}/{number}", b"sealed" * 100, retain=True) in TAKEN
    north = connect("north-door")
    north.subscribe(f"{base}/+")
    assert len({north.next()[0] for _ in range(many)}) == many
    for number in range(many):
        operator.publish(f"{base}/{number}", b"", retain=True)


def test_the_roster_survives_a_restart_of_the_broker(authority: Authority, tmp_path: Path) -> None:
    ca = authority.folder / "ca.crt"
    operator, device = (authority.client(name, f"{name}-again") for name in (OPERATOR, "west-door"))
    shipped = SiteBroker(tmp_path, authority)
    with shipped:
        peer = Peer(shipped, ca, operator, "operator")
        assert peer.publish(HEAD, b"kept", retain=True) in TAKEN
        peer.close()
    with shipped:
        peer = Peer(shipped, ca, device, "device")
        peer.subscribe(HEAD)
        assert peer.next() == (HEAD, b"kept")
        peer.close()


def test_a_stolen_device_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certs")
    ca = authority.folder / "ca.crt"
    stolen, safe = (authority.client(name, name) for name in ("stolen-door", "safe-door"))
    authority.revoke("stolen-door")
    with SiteBroker(tmp_path, authority, ("#crlfile", "crlfile")) as revoking:
        peer = Peer(revoking, ca, stolen, "stolen")
        peer.close()
        assert peer.fate.startswith("gone")
        assert eventually(lambda: "certificate verify failed" in revoking.log())
        peer = Peer(revoking, ca, safe, "safe")
        peer.close()
        assert peer.fate == "Success"
