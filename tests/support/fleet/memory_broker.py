"""A broker in memory for the fleet's tests: what is retained, and an end in the middle."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.edge.roster import changes, replica
from ostiary.edge.roster.record import Head, Index, Record, decode, shard_names
from ostiary.edge.roster.sealing import Opener
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterTopics
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.session import Retained
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import Fleet

ENCODER = "e" * 64


def matches(name: str, topic: str) -> bool:
    """Whether a filter of MQTT matches a topic."""
    wanted, levels = name.split("/"), topic.split("/")
    if wanted[-1] == "#":
        # "a/#" also matches "a".
        return len(levels) >= len(wanted) - 1 and matches(
            "/".join(wanted[:-1]), "/".join(levels[: len(wanted) - 1])
        )
    return len(wanted) == len(levels) and all(
        w in ("+", level) for w, level in zip(wanted, levels, strict=True)
    )


class Kept:
    """Has the methods of `ostiary.fleet.broker.session.Broker` that publishing needs.

    `log` is everything that was published. It breaks off after `most` messages, and drops what a
    read brings beyond `queue`, as a broker does.
    """

    def __init__(self, most: int | None = None, queue: int = 1000) -> None:
        self.kept: dict[str, bytes] = {}
        self.log: list[Retained] = []
        self.most, self.queue = most, queue
        self.reads = 0

    @contextmanager
    def connect(self, settings: MqttSection) -> Iterator[Kept]:
        yield self

    def publish(
        self, messages: Iterable[Retained], told: Callable[[int], None] = lambda count: None
    ) -> int:
        count = 0
        for message in messages:
            if self.most is not None and len(self.log) >= self.most:
                raise BrokerError("cut off")
            self.log.append(message)
            self.kept[message.topic] = message.payload
            if not message.payload:
                del self.kept[message.topic]
            count += 1
            told(count)
        return count

    def read(
        self, filters: Sequence[str], expected: Collection[str] = (), quiet_s: float = 0.5
    ) -> dict[str, bytes]:
        self.reads += 1
        named = {name for name in filters if "+" not in name and "#" not in name}
        wild = [name for name in filters if name not in named]
        came = {
            topic: payload
            for topic, payload in self.kept.items()
            if topic in named or any(matches(name, topic) for name in wild)
        }
        return dict(list(came.items())[: self.queue])

    def records(self) -> list[Retained]:
        """What was published on subjects' topics."""
        return [m for m in self.log if fnmatch.fnmatch(m.topic, "*/roster/subject/*")]


def template(seed: int, dim: int = 8) -> Floats:
    row = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    return row / np.linalg.norm(row)


def enroll(fleet: Fleet, *subjects: str, **rights: Any) -> None:
    """Put people into the registry, one after another."""
    for subject in subjects:
        seed = int.from_bytes(subject.encode(), "big") % 2**32
        person = Person(subject=subject, name=subject.title(), **rights)
        fleet.registry().put(person, {ENCODER: Fused(template(seed))}, 1000.0)


def many(fleet: Fleet, count: int, start: int = 0) -> list[str]:
    """So many people, put in one transaction."""
    names = [f"p{number:06d}" for number in range(start, start + count)]
    items = [(Person(subject=n), {ENCODER: Fused(template(i))}) for i, n in enumerate(names, start)]
    fleet.registry().put_many(items, 1000.0)
    return names


class Door:
    """A device as far as the reducer goes: fed with what is retained, or live, in any order."""

    def __init__(self, fleet: Fleet) -> None:
        self._topics = RosterTopics(fleet.settings.site)
        self._opener = Opener(fleet.site(), [fleet.sealer().public])
        self.state = replica.ReplicaState()
        self.records: dict[str, Record] = {}
        self.refused: list[changes.Refused] = []

    def hear(self, topic: str, payload: bytes) -> None:
        parts = self._topics.parse(topic)
        if parts is None or not payload:
            return
        body = self._opener.open(topic, payload)
        message: changes.Message
        if parts[0] == "head":
            message = changes.SealedHead(decode(body, Head), payload)
        elif parts[0] == "index":
            message = decode(body, Index)
        else:
            message = changes.Sealed(decode(body, Record), payload)
        self.state, found = replica.step(self.state, [message])
        self.refused.extend(found.refused)
        for step in found.steps:
            if isinstance(step, changes.Drop):
                self.records.pop(step.subject, None)
            else:
                self.records[step.sealed.record.subject] = step.sealed.record

    def pull(self, kept: dict[str, bytes]) -> None:
        """Everything that the broker keeps: the head, then indexes, then records."""
        order = {"head": 0, "index": 1, "subject": 2}
        for topic in sorted(kept, key=lambda t: order.get(t.split("/")[4], 9)):
            if topic.split("/")[4] in order:
                self.hear(topic, kept[topic])

    @property
    def complete(self) -> bool:
        return self.state.head is not None and not self.state.unproven()

    def holds(self) -> dict[str, Record]:
        """Who may be let in by it."""
        return {s: r for s, r in self.records.items() if not r.gone}

    def check(self) -> None:
        """The reducer's state and what followed it are the same."""
        held = {s: r for name in shard_names() for s, r in self.state.shard(name).held.items()}
        assert held == {s: r.revision for s, r in self.records.items()}
