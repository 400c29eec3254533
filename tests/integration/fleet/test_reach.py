"""TLS and access lists, twenty doors: who is enrolled passes at each, who is revoked at none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge.core.types import Reason
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterMessage, decode
from tests.support.doors.roster_door import Door, until
from tests.support.roster.operator import Operator, Voice, face
from tests.support.site_broker import HOST, Authority, Peer, SiteBroker

DOORS = 20
NOT_AUTHORIZED = 0x87


def secured(site: SiteBroker, authority: Authority, name: str) -> MqttSection:
    """A client whose certificate bears its name."""
    cert, key = authority.folder / f"{name}.crt", authority.folder / f"{name}.key"
    if not cert.exists():
        authority.client(name, name)
    return MqttSection(
        host=HOST, port=site.port, ca=authority.folder / "ca.crt", cert=cert, key=key
    )


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def voice(site: SiteBroker, authority: Authority) -> Iterator[Voice]:
    made = Voice(secured(site, authority, "ostiary.operator"))
    yield made
    made.close()


@pytest.fixture
def doors(site: SiteBroker, authority: Authority, tmp_path: Path) -> Iterator[list[Door]]:
    names = [f"door-{number}" for number in range(DOORS)]
    made = [Door(tmp_path, secured(site, authority, name), name).start() for name in names]
    until(made, lambda: all(door.link.connected for door in made))
    yield made
    for door in made:
        door.close()


def converge(doors: list[Door], operator: Operator) -> None:
    until(doors, lambda: all(door.equals(operator) for door in doors))
    for door in doors:
        door.check(operator)


def enroll_and_revoke(
    doors: list[Door], operator: Operator, voice: Voice, rounds: int, first: int
) -> None:
    for person in range(first, first + rounds):
        subject = f"p{person}"
        assert not any(door.decide(face(person)).granted for door in doors)
        operator.enroll(subject, person)
        voice.send(operator.changes([subject]))
        until(doors, lambda: all(d.grants(face(person), subject) for d in doors))  # noqa: B023
        assert {d.decide(face(10_000 + person)).reason for d in doors} == {Reason.UNKNOWN}
        operator.revoke(subject)
        voice.send(operator.changes([subject]))
        until(doors, lambda: not any(d.decide(face(person)).granted for d in doors))  # noqa: B023
        assert {door.decide(face(person)).reason for door in doors} == {Reason.UNKNOWN}


def test_an_enrollment_and_a_revocation_reach_every_door(
    doors: list[Door], operator: Operator, voice: Voice
) -> None:
    for person in range(50):
        operator.enroll(f"old{person}", 1000 + person)
    voice.send(operator.changes(operator.records))
    converge(doors, operator)
    enroll_and_revoke(doors, operator, voice, rounds=1, first=0)
    operator.suspend("old7")
    voice.send(operator.changes(["old7"]))
    until(doors, lambda: all(d.decide(face(1007)).reason is Reason.SUSPENDED for d in doors))
    converge(doors, operator)
    assert not [door.events for door in doors if door.events]


def test_each_door_acknowledges_under_its_own_name(
    doors: list[Door], operator: Operator, voice: Voice
) -> None:
    heard: dict[str, RosterMessage] = {}
    voice.client.on_message = lambda c, d, m: heard.update(
        {m.topic.split("/")[4]: decode(bytes(m.payload), RosterMessage)}
    )
    voice.client.subscribe("ostiary/1/hq/device/+/roster", 1)
    # This broker has the roster of the test before.
    operator.sequence = 1000
    operator.enroll("alice", 1)
    voice.send(operator.changes(["alice"]))

    digest = operator.digest

    def acknowledged() -> bool:
        proven = [m for m in list(heard.values()) if m.digest == digest and m.complete]
        return len(proven) == DOORS

    until(doors, acknowledged)
    assert set(heard) == {f"door-{number}" for number in range(DOORS)}
    assert {message.sequence for message in heard.values()} == {operator.sequence}


def test_a_device_can_write_neither_the_roster_nor_anothers_topics(
    site: SiteBroker, authority: Authority, operator: Operator, voice: Voice, tmp_path: Path
) -> None:
    """Although it has the site's key and all that was ever published."""

    operator.sequence = 1500
    operator.enroll("alice", 1)
    old = list(operator.everything())
    voice.send(old)
    operator.revoke("alice")
    voice.send(operator.changes(["alice"]))
    north = Door(tmp_path, secured(site, authority, "north"), "north").start()
    until([north], lambda: north.equals(operator))
    south = Peer(site, authority.folder / "ca.crt", authority.client("south", "south"), "south")
    others = [("ostiary/1/hq/device/north/roster", b"{}")]
    for topic, payload in (*old, *others, *((topic, b"") for topic, _ in old)):
        assert south.publish(topic, payload, retain=True) == NOT_AUTHORIZED
    operator.enroll("bob", 2)
    voice.send(operator.changes(["bob"]))
    until([north], lambda: north.equals(operator))
    fresh = Door(tmp_path, secured(site, authority, "east"), "east").start()
    until([fresh], lambda: fresh.equals(operator))
    for door in (north, fresh):
        door.check(operator)
        assert door.events == []
        door.close()
    south.close()


@pytest.mark.long
def test_thirty_enrollments_and_revocations_reach_every_door(
    doors: list[Door], operator: Operator, voice: Voice
) -> None:
    operator.sequence = 2000
    for person in range(500):
        operator.enroll(f"old{person}", 1000 + person)
    voice.send(operator.changes(operator.records))
    converge(doors, operator)
    for door in doors:
        # Signing five hundred takes a while, in which a door may say that the broker has no roster.
        door.events.clear()
    enroll_and_revoke(doors, operator, voice, rounds=30, first=0)
    converge(doors, operator)
    assert not [door.events for door in doors if door.events]
