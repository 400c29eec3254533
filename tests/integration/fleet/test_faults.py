"""Faults in the middle of everything: each door ends with all of the operator's registry."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.core.types import Reason
from ostiary.edge.remote.mailbox import Mail
from ostiary.edge.roster import replica
from ostiary.edge.roster.record import total
from ostiary.edge.sections import MqttSection
from scripts import trial
from tests.support.cutting_proxy import CuttingProxy
from tests.support.doors.roster_door import Door, Place, until
from tests.support.doors.roster_process import DoorProcess
from tests.support.roster.operator import Operator, Said, Voice, face

DAY_S = 24 * 3600.0


def at(port: int) -> MqttSection:
    return MqttSection(host="127.0.0.1", port=port)


@pytest.fixture
def default(tmp_path: Path) -> Iterator[trial.Mosquitto]:
    """A broker with every default."""
    with trial.Mosquitto(tmp_path / "default", lasting=False) as running:
        yield running


class Life:
    """What an operator does all day, by a seed."""

    def __init__(self, operator: Operator, seed: int) -> None:
        self.operator, self.random = operator, np.random.default_rng(seed)

    def changes(self, count: int) -> list[str]:
        """The subjects that were changed: enrolled, suspended, let in again or revoked."""
        changed = []
        for _ in range(count):
            number = int(self.random.integers(150))
            subject = f"s{number}"
            known = self.operator.records.get(subject)
            choice = int(self.random.integers(4))
            if known is None or known.gone:
                self.operator.enroll(subject, number)
            elif choice == 0:
                self.operator.revoke(subject)
            else:
                self.operator.suspend(subject, not known.suspended)
            changed.append(subject)
        return list(dict.fromkeys(changed))


def beside(messages: Iterable[Said], *doors: Door) -> Iterator[Said]:
    """The messages, while the doors live."""
    for number, message in enumerate(messages):
        if not number % 20:
            for door in doors:
                door.turn()
        yield message


def killed_within(messages: list[Said], broker: trial.Mosquitto, at_message: int) -> Iterator[Said]:
    for number, message in enumerate(messages):
        if number == at_message:
            broker.kill()
        yield message


def kill_the_broker(broker: trial.Mosquitto, folder: Path, times: int, seed: int) -> None:
    operator, voice = Operator(), Voice(at(broker.port))
    life = Life(operator, seed)
    door = Door(folder, at(broker.port)).start()
    for _ in range(times):
        messages = list(operator.changes(life.changes(300)))
        moment = int(life.random.integers(len(messages)))
        with pytest.raises(ConnectionError):
            voice.send(beside(killed_within(messages, broker, moment), door))
        broker.start()
        voice.again()
        voice.send(beside(operator.everything(), door))
        # Else the next kill may bring back a head older than the door has seen: an attack, to it.
        voice.settle()
    until([door], lambda: door.equals(operator))
    door.check(operator)
    assert door.events == []
    door.close()
    fresh = Door(folder, at(broker.port), "fresh").start()
    until([fresh], lambda: fresh.equals(operator))
    fresh.check(operator)
    fresh.close()
    voice.close()


def test_a_broker_that_is_killed_in_a_publish(broker: trial.Mosquitto, tmp_path: Path) -> None:
    kill_the_broker(broker, tmp_path, times=3, seed=1)


@pytest.mark.long
def test_a_broker_that_is_killed_thirty_times(broker: trial.Mosquitto, tmp_path: Path) -> None:
    kill_the_broker(broker, tmp_path, times=30, seed=2)


def test_a_broker_that_lost_everything_is_refilled(broker: trial.Mosquitto, tmp_path: Path) -> None:
    operator, voice = Operator(), Voice(at(broker.port))
    changed = Life(operator, 3).changes(200)
    voice.send(operator.changes(changed))
    door = Door(tmp_path, at(broker.port)).start()
    until([door], lambda: door.equals(operator))
    broker.kill()
    (tmp_path / "broker" / "mosquitto.db").unlink()
    broker.start()
    fresh = Door(tmp_path, at(broker.port), "fresh").start()
    until([door, fresh], lambda: door.link.connection == 2 and fresh.link.connected)
    door.check(operator)
    assert len(fresh.gallery) == 0
    enrolled = list(operator.enrolled)
    operator.revoke(enrolled[0])
    voice.again()
    voice.send(operator.everything())
    until([door, fresh], lambda: door.equals(operator) and fresh.equals(operator))
    for each in (door, fresh):
        each.check(operator)
        assert each.events == []
        each.close()
    voice.close()


def cut_the_wire(broker: trial.Mosquitto, folder: Path, times: int, seed: int) -> None:
    operator, voice = Operator(), Voice(at(broker.port))
    life = Life(operator, seed)
    voice.send(operator.changes(life.changes(400)))
    proxy = CuttingProxy(broker.port, life.random.integers(50, 60_000, times).tolist())
    door = Door(folder, at(proxy.port)).start()
    while proxy.left:
        voice.send(beside(operator.changes(life.changes(20)), door))
        until([door], lambda: door.equals(operator))
        door.check(operator)
    # The last may have been cut just now.
    until([door], lambda: proxy.connections == times + 1)
    assert door.events == []
    door.close()
    proxy.close()
    voice.close()


def test_a_wire_that_is_cut(default: trial.Mosquitto, tmp_path: Path) -> None:
    cut_the_wire(default, tmp_path, times=3, seed=4)


@pytest.mark.long
def test_a_wire_that_is_cut_thirty_times(default: trial.Mosquitto, tmp_path: Path) -> None:
    cut_the_wire(default, tmp_path, times=30, seed=5)


def test_what_comes_again_on_a_new_wire_is_no_attack(
    default: trial.Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two heads whose acknowledgements are lost: when the older comes again, both are known."""
    operator, voice = Operator(), Voice(at(default.port))
    operator.enroll("alice", 1)
    voice.send(operator.everything())
    proxy = CuttingProxy(default.port, [])
    door = Door(tmp_path, at(proxy.port)).start()
    until([door], lambda: door.equals(operator))
    proxy.mute = True
    for suspended in (True, False):
        operator.suspend("alice", suspended)
        voice.send(operator.changes(["alice"]))
        until([door], lambda: door.equals(operator))
    mails, take = list[Mail](), door.mailbox.take

    def noted(most: int) -> list[Mail]:
        taken = take(most)
        mails.extend(taken)
        return taken

    monkeypatch.setattr(door.mailbox, "take", noted)
    proxy.cut()
    until([door], lambda: bool(mails) and mails[-1].kept and not mails[-1].again)
    assert [mail.topic[0] for mail in mails if mail.again].count("head") >= 2
    door.check(operator)
    assert door.events == []
    door.close()
    proxy.close()
    voice.close()


@pytest.mark.parametrize("queue", [100, 1000])
def test_a_door_that_is_away_for_more_than_the_broker_queues(tmp_path: Path, queue: int) -> None:
    settings = f"allow_anonymous true\nmax_queued_messages {queue}"
    with trial.Mosquitto(tmp_path / "small", settings, lasting=False) as broker:
        operator, voice = Operator(), Voice(at(broker.port))
        life = Life(operator, 6)
        voice.send(operator.changes(life.changes(300)))
        door = Door(tmp_path, at(broker.port)).start()
        until([door], lambda: door.equals(operator))
        door.close()
        for _ in range(10):
            voice.send(operator.changes(life.changes(50 * queue // 100)))
        door = Door(tmp_path, at(broker.port)).start()
        until([door], lambda: door.equals(operator))
        door.check(operator)
        assert door.events == []
        door.close()
        voice.close()


def test_clocks_that_jump_a_day(default: trial.Mosquitto, tmp_path: Path) -> None:
    jump = {"door": 0.0, "operator": 0.0}
    operator = Operator(wall=lambda: time.time() + jump["operator"])
    voice = Voice(at(default.port))
    door = Door(tmp_path, at(default.port), wall=lambda: time.time() + jump["door"]).start()
    operator.enroll("guest", 1, valid_until_s=time.time() + DAY_S / 2)
    for number, (at_door, at_operator) in enumerate(
        [(0, 0), (DAY_S, 0), (-DAY_S, 0), (0, DAY_S), (0, -DAY_S), (DAY_S, -DAY_S), (0, 0)]
    ):
        jump.update(door=at_door, operator=at_operator)
        operator.enroll(f"p{number}", 100 + number)
        if number:
            operator.revoke(f"p{number - 1}")
        voice.send(operator.changes(operator.records))
        until([door], lambda: door.equals(operator))
        door.check(operator)
        assert door.grants(face(100 + number), f"p{number}")
        assert door.decide(face(99 + number)).reason is Reason.UNKNOWN
        guest = door.decide(face(1))
        assert guest.reason is (Reason.EXPIRED if at_door > 0 else Reason.MATCHED)
    assert door.events == []
    assert door.link.connection == 1
    door.close()
    voice.close()


def check_store(folder: Path) -> None:
    """It opens, and its digest is that of what it holds."""
    store = RosterStore(folder / "north.db")
    held = {row.subject: row.revision for row in store.rows()}
    assert store.digest() == (total(replica.restored(None, held).sums()) if store.head() else "")
    store.close()
    said: list[tuple[str, str, str]] = []
    place = Place(folder, lambda *event: said.append(event))
    # All of it, but for the shards that the stored head has outdated.
    assert place.held().items() <= held.items()
    digest = total(replica.restored(None, place.held()).sums())
    assert place.store.digest() == (digest if place.store.head() else "")
    assert said == []
    place.store.close()


def kill_the_door(broker: trial.Mosquitto, folder: Path, times: int, seed: int) -> None:
    operator, voice = Operator(), Voice(at(broker.port))
    life = Life(operator, seed)
    for number in range(1000):
        operator.enroll(f"old{number}", 1000 + number)
    voice.send(operator.changes(operator.records))
    for _ in range(times):
        voice.send(operator.changes(life.changes(100)))
        process = DoorProcess(folder, broker.port)
        process.wait("applying", int(life.random.integers(1, 6)), end="complete")
        # It has begun to write: from before the first statement to after the commit.
        end = time.perf_counter() + life.random.uniform(0, 0.008)
        while time.perf_counter() < end:
            pass
        process.kill()
        check_store(folder)
    door = Door(folder, at(broker.port)).start()
    until([door], lambda: door.equals(operator))
    door.check(operator)
    assert door.events == []
    door.close()
    voice.close()


def test_a_door_that_is_killed_while_it_stores(default: trial.Mosquitto, tmp_path: Path) -> None:
    kill_the_door(default, tmp_path, times=4, seed=7)


@pytest.mark.long
def test_a_door_that_is_killed_fifty_times_while_it_stores(
    default: trial.Mosquitto, tmp_path: Path
) -> None:
    kill_the_door(default, tmp_path, times=50, seed=8)
