"""What the link receives from a real broker: sessions, retained messages, sizes, answers."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary.edge.adapters.mqtt.link import Filter, Link, Received
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.sections import MqttSection
from scripts import trial
from tests.support.cutting_proxy import CuttingProxy
from tests.support.plain_peer import PATIENCE_S, PlainPeer

BASE = "ostiary/1/test"
OTHERS = 800


class Listener:
    """A link and what came over it."""

    def __init__(self, port: int, name: str = "door", deaf: bool = False) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.failing = False
        mqtt = MqttSection(host="127.0.0.1", port=port)
        inbox = None if deaf else self._take
        self.link = Link(mqtt, name, f"{BASE}/state", lambda session: b"lost", inbox=inbox)

    def start(self) -> Listener:
        before = self.link.connection
        self.link.start(1)
        self.wait(lambda: self.link.connection > before)
        return self

    def wait(self, met: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not met():
            assert time.monotonic() < until, self.link.problem
            time.sleep(0.002)

    def next(self) -> Received:
        return self.received.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.link.stop(b"offline", 1.0)

    def _take(self, message: Received) -> None:
        if self.failing:
            self.failing = False
            raise KeyError("an inbox that fails")
        self.received.put(message)


@pytest.fixture
def peer(broker: trial.Mosquitto) -> Iterator[PlainPeer]:
    made = PlainPeer(broker.port)
    yield made
    made.close()


@pytest.fixture
def door(broker: trial.Mosquitto) -> Iterator[Listener]:
    made = Listener(broker.port).start()
    yield made
    made.close()


def subscribed(door: Listener, peer: PlainPeer, wanted: Filter) -> None:
    """Subscribe, and know that the broker has done it: it takes filters in order."""
    marker = f"{BASE}/marker"
    peer.publish(marker, b"done", retain=True)
    assert door.link.subscribe([wanted, Filter(marker, qos=0)])
    # Needs no acknowledgement, for want of which it would come again.
    assert door.next().topic == marker


def test_a_kept_session_brings_what_was_said_while_away(
    broker: trial.Mosquitto, peer: PlainPeer
) -> None:
    # The wire breaks in the middle of the first message.
    proxy = CuttingProxy(broker.port, [3000])
    door = Listener(proxy.port).start()
    assert not door.link.kept
    subscribed(door, peer, Filter(f"{BASE}/live", replay=False))
    said = [bytes(6000), b"1", b"2", b"3"]
    for payload in said:
        peer.publish(f"{BASE}/live", payload)
    assert [door.next().payload for _ in said] == said
    assert (door.link.connection, door.link.kept, proxy.left) == (2, True, 0)
    door.close()
    proxy.close()


def test_who_starts_hears_nothing_that_the_process_before_had_asked_for(
    broker: trial.Mosquitto, peer: PlainPeer
) -> None:
    before = Listener(broker.port).start()
    subscribed(before, peer, Filter(f"{BASE}/pulled"))
    before.close()
    door = Listener(broker.port).start()
    assert not door.link.kept
    subscribed(door, peer, Filter(f"{BASE}/live"))
    for topic in ("pulled", "live"):
        peer.publish(f"{BASE}/{topic}", b"")
    assert door.next().topic == f"{BASE}/live"
    door.close()


def test_each_connection_is_counted_and_says_whether_the_session_was_kept(
    broker: trial.Mosquitto, door: Listener
) -> None:
    assert (door.link.connection, door.link.kept) == (1, False)
    broker.kill()
    door.wait(lambda: not door.link.connected)
    assert not door.link.subscribe([Filter(f"{BASE}/x")])
    assert not door.link.unsubscribe([f"{BASE}/x"])
    assert not door.link.publish(f"{BASE}/x", b"")
    broker.start()
    door.wait(lambda: door.link.connection == 2)


def test_who_receives_nothing_leaves_no_session(broker: trial.Mosquitto) -> None:
    # The first finds one that was kept, as of a door that had a roster once.
    Listener(broker.port).start().close()
    for _ in range(2):
        deaf = Listener(broker.port, deaf=True).start()
        assert not deaf.link.kept
        deaf.close()


def test_without_replay_nothing_that_is_kept_comes(door: Listener, peer: PlainPeer) -> None:
    for number in range(20):
        peer.publish(f"{BASE}/subject/{number}", b"old", retain=True)
    subscribed(door, peer, Filter(f"{BASE}/subject/+", replay=False))
    # Again, as after a reconnect: the broker must not take it for a wish to hear all.
    assert door.link.subscribe([Filter(f"{BASE}/subject/+", replay=False)])
    peer.publish(f"{BASE}/subject/7", b"new", retain=True)
    assert door.next().payload == b"new"


def test_with_replay_what_is_kept_comes_on_each_request(door: Listener, peer: PlainPeer) -> None:
    peer.publish(f"{BASE}/head", b"kept", retain=True)
    for _ in range(2):
        assert door.link.subscribe([Filter(f"{BASE}/head")])
        assert door.next() == Received(f"{BASE}/head", b"kept", True, None, None, False, 1)


@pytest.mark.parametrize("as_published", [True, False])
def test_a_live_message_shows_whether_it_was_retained(
    door: Listener, peer: PlainPeer, as_published: bool
) -> None:
    subscribed(door, peer, Filter(f"{BASE}/command/+", as_published=as_published))
    peer.publish(f"{BASE}/command/open", b"kept", retain=True)
    peer.publish(f"{BASE}/command/open", b"live")
    shown = [door.next(), door.next()]
    assert [(m.payload, m.retained) for m in shown] == [(b"kept", as_published), (b"live", False)]


def test_a_message_above_the_limit_never_arrives_and_the_connection_lives(
    door: Listener, peer: PlainPeer
) -> None:
    peer.publish(f"{BASE}/big/retained", bytes(2_000_000), retain=True)
    subscribed(door, peer, Filter(f"{BASE}/big/+"))
    peer.publish(f"{BASE}/big/live", bytes(2_000_000))
    peer.publish(f"{BASE}/big/fits", bytes(1_000_000))
    peer.publish(f"{BASE}/big/after", b"small")
    assert [len(door.next().payload) for _ in range(2)] == [1_000_000, 5]
    assert door.link.connection == 1


def test_many_filters_fit_in_one_subscription(door: Listener, peer: PlainPeer) -> None:
    topics = [f"{BASE}/roster/subject/{n:02x}/{'s' * 60}-{n}" for n in range(OTHERS)]
    for topic in topics:
        peer.publish(topic, b"record", retain=True)
    assert door.link.subscribe([Filter(topic, qos=0) for topic in topics])
    assert {door.next().topic for _ in topics} == set(topics)
    assert door.link.unsubscribe(topics)
    subscribed(door, peer, Filter(f"{BASE}/live"))
    for topic in (*topics[::100], f"{BASE}/live"):
        peer.publish(topic, b"again")
    assert door.next().topic == f"{BASE}/live"


def test_a_question_and_its_answer(door: Listener, peer: PlainPeer) -> None:
    subscribed(door, peer, Filter(f"{BASE}/command/+"))
    peer.subscribe(f"{BASE}/response/+")
    peer.publish(f"{BASE}/command/open", b"?", answer_to=f"{BASE}/response/open", correlation=b"7")
    asked = door.next()
    assert (asked.response_topic, asked.correlation) == (f"{BASE}/response/open", b"7")
    assert asked.response_topic is not None
    assert door.link.publish(asked.response_topic, b"!", correlation=asked.correlation)
    answer = peer.next()
    assert (answer.topic, answer.payload, answer.correlation) == (asked.response_topic, b"!", b"7")


def test_an_inbox_that_fails_costs_one_message_and_no_connection(
    door: Listener, peer: PlainPeer, caplog: pytest.LogCaptureFixture
) -> None:
    subscribed(door, peer, Filter(f"{BASE}/live"))
    door.failing = True
    for number in range(3):
        peer.publish(f"{BASE}/live", b"%d" % number)
    assert [door.next().payload for _ in range(2)] == [b"1", b"2"]
    assert door.link.connection == 1
    assert "an inbox that fails" in caplog.text


def test_a_late_acknowledgement_of_the_journal_is_not_lost_with_an_inbox(
    door: Listener, peer: PlainPeer, tmp_path: Path
) -> None:
    peer.subscribe(f"{BASE}/decision")
    journal = Journal(tmp_path / "j.db")
    for _ in range(25):
        journal.append(0.0, lambda seq: f"decision {seq}".encode())
    door.wait(lambda: door.link.pump(journal, f"{BASE}/decision") or not journal.pending_count())
    door.wait(lambda: not door.link.pump(journal, f"{BASE}/decision") and not door.link.under_way)
    assert [peer.next().payload for _ in range(25)] == [b"decision %d" % n for n in range(1, 26)]
    journal.close()
