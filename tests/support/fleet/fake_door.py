"""A device on a real broker, as far as the operator sees it: says how it is, answers commands."""

from __future__ import annotations

import queue
import time
from typing import Any

import msgspec
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ostiary.edge import wire
from ostiary.edge.core.types import Floats, Outcome, Reason
from ostiary.edge.roster.record import Command, decode, total
from ostiary.edge.roster.sealing import Opener
from ostiary.edge.wire import (
    DecisionMessage,
    EventMessage,
    Response,
    RosterMessage,
    StateMessage,
    Topics,
)
from ostiary.fleet.site.fleet import Fleet
from scripts import trial

PATIENCE_S = 20.0


class FakeDoor:
    """`answer` is what it says to a command; None: nothing. `heard` are the commands it was given
    and the seconds that the broker would still have kept them."""

    def __init__(self, fleet: Fleet, name: str, answer: Response | None = None) -> None:
        self._fleet, self.topics = fleet, Topics(fleet.settings.site, name)
        self._opener = Opener(fleet.site(), [fleet.sealer().public])
        self._answers: queue.Queue[int] = queue.Queue()
        self.answer = answer
        self.heard: list[tuple[Command, bool, int]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self.client.on_publish = lambda c, d, mid, reason, p: self._answers.put(mid)
        self.client.on_subscribe = lambda c, d, mid, reasons, p: self._answers.put(mid)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", fleet.settings.port, 30)
        self.client.loop_start()

    def listen(self) -> FakeDoor:
        _, mid = self.client.subscribe(self.topics.every_command, 1)
        assert mid is not None
        self._done(mid)
        return self

    def say(self, kind: str, message: wire.Message | bytes, retain: bool = True) -> None:
        payload = message if isinstance(message, bytes) else wire.encode(message)
        info = self.client.publish(getattr(self.topics, kind), payload, 1, retain)
        self._done(info.mid)

    def is_online(self, session: int = 1, status: str = "online") -> None:
        self.say("state", StateMessage(status=status, session=session, at="2026-11-22T08:00:00Z"))

    def holds(self, sequence: int | None = None, **fields: object) -> None:
        """Acknowledge the registry's roster, or another."""
        head = self._fleet.registry().roster.head(0)
        message = RosterMessage(
            sequence=head.sequence if sequence is None else sequence,
            digest=total(head.sums),
            complete=True,
            subjects=head.sequence,
            usable=head.sequence,
            encoder="e" * 64,
            coverage={"e" * 64: head.sequence},
            at="2026-11-22T08:00:01Z",
        )
        self.say("roster", msgspec.structs.replace(message, **fields))

    def close(self) -> None:
        trial.leave(self.client)

    def _done(self, mid: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self._answers.get(timeout=max(0.0, until - time.monotonic())) != mid:
            pass

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        name = message.topic.rpartition("/")[2]
        command = decode(self._opener.open(message.topic, bytes(message.payload)), Command)
        # paho gives a property's value as an attribute that no type declares.
        said: Any = message.properties
        assert said is not None
        assert said.ResponseTopic == self.topics.response(name)
        self.heard.append((command, message.retain, said.MessageExpiryInterval))
        if self.answer is None:
            return
        answer = msgspec.structs.replace(self.answer, nonce=command.nonce.hex())
        back = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        back.CorrelationData = said.CorrelationData
        topic = self.topics.response(name)
        payload = self._fleet.site().close(topic, wire.encode(answer))
        # Before it, what others may write there: neither closed by the site nor for this command.
        for wrong in (b"garbage", self._fleet.site().close(topic, wire.encode(self.answer))):
            client.publish(topic, wrong, 1, properties=back)
        client.publish(topic, payload, 1)
        client.publish(topic, payload, 1, properties=back)


def template_bytes(template: Floats) -> bytes:
    return np.ascontiguousarray(template, "<f4").tobytes()


def decision(number: int, subject: str | None = "alice", granted: bool = True) -> DecisionMessage:
    return DecisionMessage(
        id=f"id-{number}", seq=number, at=f"2026-11-22T08:00:{number:02d}Z",
        outcome=Outcome.GRANTED if granted else Outcome.DENIED,
        reason=Reason.MATCHED if granted else Reason.UNKNOWN,
        mode="identify", subject=subject, score=0.5, tau=0.4, k=3, encoder="e", track=1,
        latency_ms={"total": 5.0},
    )  # fmt: skip


def event(name: str) -> EventMessage:
    return EventMessage(event=name, at="2026-11-22T08:00:00Z", detail="why")
