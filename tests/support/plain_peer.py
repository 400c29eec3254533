"""A client of a broker without TLS, as an operator or an attacker would use one."""

from __future__ import annotations

import queue
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from scripts import trial

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Heard:
    """A message, and which question it answers."""

    topic: str
    payload: bytes
    correlation: bytes | None


class PlainPeer:
    """What it does is answered before the call returns; what comes is waited for."""

    def __init__(self, port: int, name: str = "peer") -> None:
        self.heard: queue.Queue[Heard] = queue.Queue()
        self._answers: queue.Queue[None] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self.client.on_connect = self._answered
        self.client.on_publish = self._answered
        self.client.on_subscribe = self._answered
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()
        self._wait()

    def publish(
        self,
        topic: str,
        payload: bytes,
        retain: bool = False,
        answer_to: str | None = None,
        correlation: bytes | None = None,
        expires_s: int | None = None,
    ) -> None:
        said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if answer_to is not None:
            said.ResponseTopic = answer_to
        if correlation is not None:
            said.CorrelationData = correlation
        if expires_s is not None:
            said.MessageExpiryInterval = expires_s
        self.client.publish(topic, payload, 1, retain, said)
        self._wait()

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, 1)
        self._wait()

    def next(self) -> Heard:
        """The next message that came or comes."""
        return self.heard.get(timeout=PATIENCE_S)

    def close(self) -> None:
        trial.leave(self.client)

    def _answered(self, *_: object) -> None:
        self._answers.put(None)

    def _wait(self) -> None:
        self._answers.get(timeout=PATIENCE_S)

    def _on_message(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self.heard.put(Heard(message.topic, bytes(message.payload), correlation))
