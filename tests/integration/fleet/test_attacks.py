"""Attacks on the roster over a real broker: refused, told of, without effect, and repairable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary.edge.core.types import Reason
from ostiary.edge.roster.record import shard_of
from ostiary.edge.sections import MqttSection
from scripts import trial
from tests.support.doors.roster_door import Door, until
from tests.support.doors.roster_process import DoorProcess
from tests.support.roster.operator import SEED, Operator, Said, Voice, face

OTHERS_SEED, OTHERS_SITE_KEY = bytes(reversed(SEED)), bytes(32)
MB = 1_000_000
NOT_AUTHORIZED = 0x87


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[MqttSection]:
    """A broker as it comes, which takes messages of any size from anybody."""
    with trial.Mosquitto(tmp_path / "broker", lasting=False) as broker:
        yield MqttSection(host="127.0.0.1", port=broker.port)


@pytest.fixture
def voice(plain: MqttSection) -> Iterator[Voice]:
    made = Voice(plain)
    yield made
    made.close()


@pytest.fixture
def attacker(plain: MqttSection) -> Iterator[Voice]:
    made = Voice(plain, "attacker")
    yield made
    made.close()


@pytest.fixture
def operator() -> Operator:
    """Alice, Bob and Carol; Alice was suspended and Carol revoked."""
    made = Operator()
    for person, subject in enumerate(["alice", "bob", "carol"], 1):
        made.enroll(subject, person)
    return made


@pytest.fixture
def history(operator: Operator, voice: Voice) -> list[Said]:
    """All that was published, and is not what counts any more."""
    old = list(operator.everything())
    voice.send(old)
    operator.suspend("alice")
    operator.revoke("carol")
    voice.send(operator.changes(["alice", "carol"]))
    return old


@pytest.fixture
def door(
    plain: MqttSection, tmp_path: Path, operator: Operator, history: list[Said]
) -> Iterator[Door]:
    made = Door(tmp_path, plain).start()
    until([made], lambda: made.equals(operator))
    made.check(operator)
    yield made
    made.close()


def stranger(**more: object) -> Operator:
    """Enrolls Mallory, revokes Bob and says that this is the newest."""
    made = Operator(**more)  # type: ignore[arg-type]
    made.sequence = 100
    made.enroll("mallory", 66)
    made.revoke("bob")
    return made


def moved(operator: Operator, subject: str, other: str) -> list[Said]:
    """A genuine record on another subject's topic."""
    return [(operator.topic_of(other), operator.record(subject)[1])]


def elsewhere(operator: Operator) -> list[Said]:
    """What the same operator says to another site that has the same key."""
    branch = Operator(site="branch")
    branch.sequence = 100
    branch.enroll("mallory", 66)
    for _ in branch.everything():
        pass
    return [
        (operator.topic_of("mallory"), branch.record("mallory")[1]),
        (operator.topics.head, branch.head()[1]),
    ]


def truncated(operator: Operator) -> list[Said]:
    topic, payload = operator.record("bob")
    return [(topic, payload[:length]) for length in (1, 24, 40, len(payload) - 1)]


def changed(operator: Operator) -> list[Said]:
    topic, payload = operator.record("bob")
    places = (1, 30, len(payload) - 1)
    return [(topic, payload[:n] + bytes([payload[n] ^ 1]) + payload[n + 1 :]) for n in places]


Attack = Callable[[Operator, list[Said]], list[Said]]
ATTACKS: dict[str, tuple[Attack, set[str]]] = {
    "without the operator's key": (
        lambda o, h: list(stranger(seed=OTHERS_SEED).everything()), {"unknown-operator"}),
    "without the site's key": (
        lambda o, h: list(stranger(site_key=OTHERS_SITE_KEY).everything()), {"other-site"}),
    "a record on another subject's topic": (lambda o, h: moved(o, "bob", "mallory"), {"moved"}),
    "a record on a revoked subject's topic": (lambda o, h: moved(o, "bob", "carol"), {"moved"}),
    "from another site": (lambda o, h: elsewhere(o), {"moved"}),
    "a head in a record's place": (
        lambda o, h: [(o.topic_of("bob"), o.head()[1])], {"moved"}),
    "a record in the head's place": (
        lambda o, h: [(o.topics.head, o.record("bob")[1])], {"moved"}),
    "old records": (
        lambda o, h: [s for s in h if s[0] in (o.topic_of("alice"), o.topic_of("carol"))],
        {"old-record"}),
    "an old head": (lambda o, h: h[-1:], {"old-head"}),
    "all that was published before": (lambda o, h: h, {"old-record", "old-head"}),
    "truncated": (lambda o, h: truncated(o), {"other-site"}),
    "changed": (lambda o, h: changed(o), {"other-site"}),
    "random": (
        lambda o, h: [(o.topic_of("bob"), b"\x02" + os.urandom(n)) for n in (0, 20, 900_000)]
        + [(o.topics.head, b"\x01" + os.urandom(900_000))],
        {"not-sealed", "other-site"}),
    "on topics that are none": (
        lambda o, h: [(f"{o.topics.base}/subject/zz/bob", o.record("bob")[1]),
                      (f"{o.topics.base}/subject/{shard_of('bob')}/Bob", o.record("bob")[1])],
        {"moved"}),
}  # fmt: skip


def image(door: Door) -> tuple[object, ...]:
    """All that a door goes by."""
    state, gallery = door.syncer.state, door.gallery
    held = {s: r for name in state.shards for s, r in state.shard(name).held.items()}
    templates = gallery._templates[: len(gallery)].tobytes()
    return state.head, held, door.held(), templates, tuple(gallery._owner), door.searched.rights


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_a_live_door_changes_nothing(
    name: str,
    retain: bool,
    door: Door,
    operator: Operator,
    history: list[Said],
    voice: Voice,
    attacker: Voice,
) -> None:
    made, reasons = ATTACKS[name]
    before = image(door)
    attacker.send(made(operator, history), retain)
    until([door], lambda: set(door.said("roster-refused")) >= reasons)
    assert image(door) == before
    assert door.grants(face(2), "bob")
    assert door.decide(face(1)).reason is Reason.SUSPENDED
    assert not door.decide(face(3)).granted
    assert not door.decide(face(66)).granted
    # A later genuine publish repairs whatever the broker has now.
    operator.enroll("dave", 4)
    voice.send(operator.everything())
    until([door], lambda: door.equals(operator))
    door.check(operator)
    assert {event for event, _, _ in door.events} == {"roster-refused"}
    assert set(door.said("roster-refused")) == reasons
    assert door.link.connection == 1


def test_attacks_that_wait_for_a_new_door(
    plain: MqttSection, tmp_path: Path, operator: Operator, voice: Voice, attacker: Voice
) -> None:
    """Each on a shard of its own: everybody else is let in, and nobody by an attack."""
    people = {f"p{number}": number for number in range(40)}
    for subject, number in people.items():
        operator.enroll(subject, 100 + number)
    old = dict(operator.everything())
    voice.send(old.items())
    first: dict[str, str] = {}
    for subject in people:
        first.setdefault(shard_of(subject), subject)
    chosen = list(first.values())[:8]
    aged, revoked, mistaken, spoilt, cut, large, old_index, bad_index = chosen
    for subject in (aged, old_index):
        operator.suspend(subject)
    operator.revoke(revoked)
    voice.send(operator.changes([aged, revoked, old_index]))
    topic = {subject: operator.topic_of(subject) for subject in chosen}
    index = {subject: operator.topics.index(shard_of(subject)) for subject in chosen}
    attacker.send(
        [
            (topic[aged], old[topic[aged]]),
            (topic[revoked], old[topic[revoked]]),
            (topic[mistaken], old[topic[spoilt]]),
            (topic[spoilt], b"\x00" * 50),
            (topic[cut], old[topic[cut]][:-9]),
            (topic[large], bytes(2 * MB)),
            (index[old_index], old[index[old_index]]),
            (index[bad_index], old[index[old_index]]),
        ]
    )
    door = Door(tmp_path, plain).start()
    until([door], lambda: bool(door.said("roster-incomplete")))
    refused = set(door.said("roster-refused"))
    assert refused == {"moved", "not-sealed", "other-site", "old-index"}
    (text,) = (about for event, _, about in door.events if event == "roster-incomplete")
    assert "not-in-index" in text
    untouched = [s for s in people if shard_of(s) not in map(shard_of, chosen)]
    until([door], lambda: set(untouched) <= set(door.gallery.subjects))
    for subject in chosen:
        assert not door.decide(face(100 + people[subject])).granted, subject
    assert not door.syncer.complete
    voice.send(operator.everything())
    until([door], lambda: door.equals(operator))
    door.check(operator)
    assert door.link.connection == 1
    door.close()


def test_a_door_that_comes_back_does_not_take_the_old_head_for_the_new(
    plain: MqttSection,
    tmp_path: Path,
    operator: Operator,
    history: list[Said],
    door: Door,
    attacker: Voice,
) -> None:
    door.close()
    attacker.send(history)
    again = Door(tmp_path, plain).start()
    until([again], lambda: "old-head" in again.said("roster-refused"))
    again.check(operator)
    assert again.decide(face(1)).reason is Reason.SUSPENDED
    assert not again.decide(face(3)).granted
    again.close()


def test_a_hundred_megabytes_are_never_in_the_doors_memory(
    plain: MqttSection, tmp_path: Path, operator: Operator, history: list[Said], attacker: Voice
) -> None:
    live = DoorProcess(tmp_path, plain.port, "live")
    live.wait("complete")
    used_mb = live.peak_mb
    attacker.send([(operator.topic_of("bob"), bytes(100 * MB))])
    # On a topic that is asked for by name it is kept away too; who is complete does not ask.
    fresh = DoorProcess(tmp_path, plain.port, "fresh")
    fresh.wait("event roster-incomplete missing")
    attacker.send([(operator.topics.head, b"see")])
    for each in (live, fresh):
        each.wait("event roster-refused not-sealed")
        assert each.connections == 1
        assert each.peak_mb < used_mb + 30
        each.kill()
    doors = [Door(tmp_path, plain, name).start() for name in ("live", "fresh")]
    assert doors[0].grants(face(2), "bob")
    assert not doors[1].decide(face(2)).granted
    with contextlib.closing(Voice(plain)) as voice:
        voice.send(operator.everything())
    until(doors, lambda: all(door.equals(operator) for door in doors))
    for door in doors:
        door.check(operator)
        door.close()
