"""The operator's session with the broker: publish, read back, send commands and listen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.sections import MqttSection
from ostiary.fleet.broker.connection import ANSWER_S, Connection, Granted
from ostiary.fleet.broker.problems import BrokerError

QUIET_S = 0.5
"""Seconds without any message after which a requested message counts as absent."""
REFUSED, NOBODY_LISTENS = 0x80, 0x10


@dataclass(frozen=True, slots=True)
class Retained:
    """A message that the broker is to retain; an empty payload clears the topic."""

    topic: str
    payload: bytes


def untold(count: int) -> None:
    """Ignore progress."""


class Broker(Connection):
    """The operator's session with the broker.

    Every method may raise BrokerError; messages published before stay, and every call can be
    repeated.
    """

    def __init__(self, settings: MqttSection, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings)
        self._clock = clock
        self._early: deque[Received] = deque()

    def publish(self, messages: Iterable[Retained], told: Callable[[int], None] = untold) -> int:
        """Publish retained messages; returns their number once the broker has acknowledged all, so
        that whatever is published next arrives later. `told` gets the number acknowledged so far.

        Raises BrokerError if the broker refuses one.
        """
        under_way: dict[int, str] = {}
        count = 0
        for message in messages:
            under_way[self.send(message.topic, message.payload, retain=True)] = message.topic
            count += 1
            if len(under_way) >= self.window:
                self._settle(under_way, self.window // 2)
                told(count - len(under_way))
        self._settle(under_way, 0)
        told(count)
        return count

    def _settle(self, under_way: dict[int, str], most: int) -> None:
        while len(under_way) > most:
            taken = self.answer()
            topic = under_way.pop(taken.mid, None)
            if topic is not None and taken.code >= REFUSED:
                raise BrokerError(
                    f"the broker refused to keep {topic}: {taken.reason}",
                    "let the operator write the roster in the broker's access list",
                )

    def read(
        self, filters: Sequence[str], expected: Collection[str] = (), quiet_s: float = QUIET_S
    ) -> dict[str, bytes]:
        """The retained messages under some filters, by topic.

        MQTT does not tell when a filter has brought everything. So this waits for the `expected`
        topics; if one does not come, or none is given, it waits until no message has come for
        `quiet_s`. Ask for no more than fits the broker's queue for a client: the broker drops all
        others.
        """
        came: dict[str, bytes] = {}
        missing = set(expected)
        asked = self.subscribe(filters, 0, replay=True)
        granted = False
        while not granted or missing or not expected:
            event = self.event(quiet_s if granted else ANSWER_S)
            if event is None and not granted:
                raise self.silent()
            if event is None:
                break
            if isinstance(event, Granted):
                granted = granted or event.mid == asked
            elif event.retained:
                came[event.topic] = event.payload
                missing.discard(event.topic)
            else:
                self._early.append(event)  # `receive` will return it
        # The broker's answer comes after the messages that it had begun to send.
        for late in self._until(self.unsubscribe(filters)):
            if late.retained:
                came[late.topic] = late.payload
            else:
                self._early.append(late)
        return came

    def listen(self, filters: Sequence[str], replay: bool) -> None:
        """Subscribe until the end of the connection; `receive` returns the messages."""
        self._early.extend(self._until(self.subscribe(filters, 1, replay)))

    def receive(self, timeout_s: float) -> Received | None:
        """The next message of `listen`'s filters; None if none came in time."""
        until = self._clock() + timeout_s
        while True:
            if self._early:
                return self._early.popleft()
            event = self.event(max(0.0, until - self._clock()))
            if event is None or isinstance(event, Received):
                return event

    def command(
        self, topic: str, payload: bytes, answer_on: str, correlation: bytes, expiry_s: int
    ) -> bool:
        """Send a command, never retained; False if no device is subscribed to it.

        Call `listen` for the answer's topic first.
        """
        said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        said.ResponseTopic, said.CorrelationData = answer_on, correlation
        said.MessageExpiryInterval = expiry_s
        mid = self.send(topic, payload, retain=False, said=said)
        taken = self.answer()
        while taken.mid != mid:
            taken = self.answer()
        if taken.code >= REFUSED:
            raise BrokerError(
                f"the broker refused the command: {taken.reason}",
                "let the operator write commands in the broker's access list",
            )
        return taken.code != NOBODY_LISTENS

    def _until(self, mid: int) -> list[Received]:
        """The messages that come before the broker's answer to a request."""
        came: list[Received] = []
        while True:
            event = self.event(ANSWER_S)
            if event is None:
                raise self.silent()
            if isinstance(event, Received):
                came.append(event)
            elif event.mid == mid:
                return came
