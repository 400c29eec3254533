"""A door that takes commands and an operator who sends them, with and without a broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.core.types import Template
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import EventThrottle
from ostiary.edge.errors import DoorError
from ostiary.edge.remote.commands import Answering, Commander
from ostiary.edge.roster.record import Command, encode
from ostiary.edge.roster.sealing import Opener, Sealer, Site
from ostiary.edge.vision.capture import Captured
from ostiary.edge.wire import DecisionMessage, Response, StateMessage, Topics

SITE_KEY, OPERATOR_SEED = bytes(range(32)), bytes(range(32, 64))
ENCODER = "e" * 64


class FakeDoor:
    """Counts how often it was opened."""

    def __init__(self) -> None:
        self.opened = 0
        self.broken = False

    def open(self) -> None:
        if self.broken:
            raise DoorError("the relay is stuck")
        self.opened += 1


class ScriptedCapture:
    """A capture that ends when the test says so."""

    encoder = ENCODER

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.active = False
        self.done: Captured | None = None

    def begin(self, subject: str, timeout_s: float) -> bool:
        if self.active:
            return False
        self.begun.append((subject, timeout_s))
        self.active = True
        return True

    def end(self, reason: str = "") -> None:
        self.active = False
        template = Template("alice", ENCODER, np.array([0.6, 0.8], np.float32), 5)
        self.done = Captured(None if reason else template, reason, "5 good")

    def result(self) -> Captured | None:
        done, self.done = self.done, None
        return done


class FakeLink:
    """Keeps what is published."""

    connected, connection, session = True, 1, 1

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bytes | None]] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> bool:
        assert (qos, retain) == (1, False)
        self.published.append((topic, payload, correlation))
        return True


class Heard(Reporter):
    """Keeps its events for the test."""

    def __init__(self, topics: Topics) -> None:
        super().__init__(topics, StateMessage(status="online", session=0), lambda: 0)
        self.events: list[tuple[str, str]] = []

    def event(self, name: str, detail: str = "") -> None:
        self.events.append((name, detail))


class House:
    """The parts of a door that commands use, in a temporary folder."""

    def __init__(self, folder: Path, *, unrecorded: bool = False) -> None:
        self.topics, self.site = Topics("hq", "north"), Site(SITE_KEY)
        self.now = 1_800_000_000.0
        self.door, self.capture = FakeDoor(), ScriptedCapture()
        self.journal = Journal(folder / "journal.db")
        self.nonces = Nonces(folder / "commands.db")
        self.reporter = Heard(self.topics)
        self.link: Answering | None = None
        recorder = Recorder(self.journal, self.door, self.reporter, self.wall, unrecorded)
        self.commander = Commander(
            self.topics,
            self.site,
            Opener(self.site, [Sealer(self.site, OPERATOR_SEED).public]),
            self.nonces,
            recorder,
            self.capture,  # type: ignore[arg-type]
            self.reporter,
            EventThrottle(self.reporter, lambda: 0.0),
            self.wall,
        )

    def work(self) -> None:
        """One turn of the loop, with the link that the house has now."""
        self.commander.work(self.link)

    def wall(self) -> float:
        return self.now

    @property
    def refused(self) -> list[str]:
        """The reasons of the refusals."""
        said = [detail for name, detail in self.reporter.events if name == "command-refused"]
        return [detail.partition(":")[0] for detail in said]

    def decisions(self) -> list[DecisionMessage]:
        return [wire.decode(e.payload, DecisionMessage) for e in self.journal.entries()]

    def answer(self, name: str, payload: bytes) -> Response:
        """An answer, opened with the site's key."""
        return wire.decode(self.site.open(self.topics.response(name), payload), Response)

    def close(self) -> None:
        self.journal.close()
        self.nonces.close()


def command(
    topic: str,
    expires_at_s: float,
    *,
    seed: bytes = OPERATOR_SEED,
    site_key: bytes = SITE_KEY,
    nonce: bytes | None = None,
    **more: object,
) -> bytes:
    """The payload of a command, signed by the operator by default."""
    body = Command(nonce=nonce or os.urandom(16), expires_at_s=expires_at_s, **more)  # type: ignore[arg-type]
    return Sealer(Site(site_key), seed).seal(topic, encode(body))


def came(topic: str, payload: bytes, answer_to: str | None, **more: object) -> Received:
    """A message as the link delivers it."""
    said = {"retained": False, "correlation": b"c", **more}
    return Received(topic, payload, response_topic=answer_to, **said)  # type: ignore[arg-type]


def asks(house: House, name: str = "open", **more: Any) -> Received:
    """A message as the operator would send it, except for the given changes."""
    topic = house.topics.command(name)
    expires = more.pop("expires_at_s", house.now + 30.0)
    return came(topic, command(topic, expires, **more), house.topics.response(name))


def published(house: House) -> list[tuple[str, bytes, bytes | None]]:
    """What the house has answered."""
    assert isinstance(house.link, FakeLink)
    return house.link.published


def given(house: House, *messages: Received) -> None:
    for message in messages:
        house.commander.put(message)
        house.work()
