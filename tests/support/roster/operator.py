"""A small operator for tests: a registry in memory, published in the protocol's order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from ostiary.edge.adapters.mqtt.link import secure, without_delay
from ostiary.edge.core.types import Floats
from ostiary.edge.roster.record import (
    Head,
    Index,
    Record,
    encode,
    shard_names,
    shard_of,
    sum_of,
    total,
)
from ostiary.edge.roster.sealing import Sealer, Site
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterTopics
from scripts import trial

SITE, SITE_KEY, SEED = "hq", bytes(range(32)), bytes(range(32, 64))
ENCODER, DIM = "ab" * 32, 128
PIECE = 500
WINDOW = 500
PATIENCE_S = 20.0

Said = tuple[str, bytes]
"""A topic and the payload to retain on it."""


def face(number: int, dim: int = DIM) -> Floats:
    """The embedding of person `number`, as made from a camera's frame."""
    drawn = np.random.default_rng(number).normal(size=dim).astype(np.float32)
    return drawn / np.float32(np.linalg.norm(drawn))


class Operator:
    """`records` is the truth; `said` is what the last messages published of it."""

    def __init__(
        self,
        site: str = SITE,
        seed: bytes = SEED,
        site_key: bytes = SITE_KEY,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.topics, self.sealer = RosterTopics(site), Sealer(Site(site_key), seed)
        self.records: dict[str, Record] = {}
        self.sequence, self._wall = 0, wall
        self.said: dict[str, dict[str, int]] = {name: {} for name in shard_names()}

    def enroll(self, subject: str, person: int, **more: object) -> Record:
        templates = {ENCODER: face(person).tobytes()}
        return self.put(Record(subject, 1, templates=templates, **more))  # type: ignore[arg-type]

    def revoke(self, subject: str) -> Record:
        return self.put(Record(subject, 1, gone=True))

    def suspend(self, subject: str, suspended: bool = True) -> Record:
        return self.put(msgspec.structs.replace(self.records[subject], suspended=suspended))

    def put(self, record: Record) -> Record:
        """Change a record: the sequence rises, and becomes the record's revision."""
        self.sequence += 1
        record = msgspec.structs.replace(record, revision=self.sequence)
        self.records[record.subject] = record
        return record

    @property
    def enrolled(self) -> dict[str, Record]:
        return {s: r for s, r in self.records.items() if not r.gone}

    def topic_of(self, subject: str) -> str:
        return self.topics.subject(shard_of(subject), subject)

    def record(self, subject: str) -> Said:
        return self._sealed(self.topic_of(subject), self.records[subject])

    def index(self, shard: str) -> Said:
        """A shard's index of what was published, with the newest sequence."""
        entries = tuple(sorted(self.said[shard].items()))
        return self._sealed(self.topics.index(shard), Index(shard, self.sequence, entries))

    def head(self, sequence: int | None = None) -> Said:
        return self._sealed(self.topics.head, self.summed(sequence))

    def summed(self, sequence: int | None = None) -> Head:
        sums = tuple(sum_of(self.said[name]) for name in shard_names())
        return Head(sequence or self.sequence, self._wall(), sums)

    @property
    def digest(self) -> str:
        """The head of all that was published."""
        return total(self.summed().sums)

    def changes(self, subjects: Iterable[str]) -> Iterator[Said]:
        """Records, the indexes of their shards, then the head; in chunks that need no pull."""
        due = sorted(subjects, key=lambda subject: self.records[subject].revision)
        for start in range(0, len(due), PIECE):
            piece = due[start : start + PIECE]
            last = self.records[piece[-1]].revision
            for subject in piece:
                yield self.record(subject)
                self.said[shard_of(subject)][subject] = self.records[subject].revision
            for shard in sorted({shard_of(subject) for subject in piece}):
                entries = tuple(sorted(self.said[shard].items()))
                yield self._sealed(self.topics.index(shard), Index(shard, last, entries))
            yield self.head(last)

    def erase(self, subject: str) -> Iterator[Said]:
        """Remove the subject from the index, then clear its topic."""
        self.sequence += 1
        del self.records[subject]
        shard = shard_of(subject)
        del self.said[shard][subject]
        yield self.index(shard)
        yield self.head()
        yield self.topic_of(subject), b""

    def everything(self) -> Iterator[Said]:
        """All messages, whatever the broker has."""
        for subject, record in self.records.items():
            self.said[shard_of(subject)][subject] = record.revision
            yield self.record(subject)
        for shard in shard_names():
            if self.said[shard]:
                yield self.index(shard)
        yield self.head()

    def _sealed(self, topic: str, body: Head | Index | Record) -> Said:
        return topic, self.sealer.seal(topic, encode(body))


class Voice:
    """The operator's connection. If it is lost, ConnectionError; `again` then makes a new one."""

    def __init__(self, mqtt: MqttSection, name: str = "ostiary.operator") -> None:
        self._mqtt, self._name = mqtt, name
        self.client = self._connected()

    def again(self) -> None:
        """Connect anew as soon as the broker answers."""
        self.close()
        self.client = self._connected()

    def _connected(self) -> paho.Client:
        """A client that is connected as soon as the broker answers."""
        lost = self._lost = threading.Event()
        room = self._room = threading.Semaphore(WINDOW)
        connected = threading.Event()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._name, protocol=paho.MQTTv5
        )
        client.max_inflight_messages_set(0)
        client.on_socket_open = without_delay
        client.on_connect = lambda *_: connected.set()
        client.on_disconnect = lambda *_: lost.set()
        client.on_publish = lambda *_: room.release()
        secure(client, self._mqtt)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                client.connect(self._mqtt.host, self._mqtt.port, 30)
                break
            except OSError:
                assert time.monotonic() < until, "no broker"
        client.loop_start()
        assert connected.wait(PATIENCE_S)
        return client

    def send(self, messages: Iterable[Said], retain: bool = True) -> None:
        """Publish messages; all are acknowledged when this returns."""
        for topic, payload in messages:
            self._wait()
            self.client.publish(topic, payload, 1, retain)
        for _ in range(WINDOW):
            self._wait()
        self._room.release(WINDOW)

    def settle(self) -> None:
        """Wait until the broker has saved all that was sent: it acknowledges before it does, but
        saves after each round of its loop, and the second of these comes in a later one."""
        for _ in range(2):
            self.send([("settle", b"x")], retain=False)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self._room.acquire(timeout=0.05):
            if self._lost.is_set():
                raise ConnectionError("the broker is gone")
            assert time.monotonic() < until, "the broker acknowledges nothing"
        if self._lost.is_set():
            raise ConnectionError("the broker is gone")

    def close(self) -> None:
        trial.leave(self.client)
