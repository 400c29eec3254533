"""One connection to the broker: paho in its own thread, which only fills queues."""

from __future__ import annotations

import queue
import secrets
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ostiary.edge.adapters.mqtt.link import Received, secure, without_delay
from ostiary.edge.sections import MqttSection
from ostiary.fleet.broker.problems import BrokerError, ended, explained, refused, unreachable

WINDOW = 500
"""The most unacknowledged messages. paho refuses more than 65,535, and keeps each message in memory
until the broker acknowledges it."""
CONNECT_S, ANSWER_S = 10.0, 20.0
"""Seconds after which a broker that is silent counts as dead."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The broker's answer to a subscription or its end; `refusal` is why it refused, if it did."""

    mid: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class _Lost:
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The broker's answer to a publish; 0x80 and above are refusals."""

    mid: int
    code: int
    reason: str


def at_once(connection: Any) -> None:
    """Let the kernel acknowledge received packets at once.

    A broker that collects small packets, as Mosquitto does by default, otherwise waits 40 ms for
    each acknowledgement. The kernel forgets the setting, so call this often.
    """
    quick = getattr(socket, "TCP_QUICKACK", None)
    if quick is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, quick, 1)


C = TypeVar("C", bound="Connection")


class Connection:
    """A connection as a `with` block, for one thread. Once it is lost, all methods raise
    BrokerError."""

    def __init__(self, settings: MqttSection) -> None:
        self._settings = settings
        self.where = f"{settings.host}:{settings.port}"
        # paho calls back while it holds its own locks, so callbacks only fill these queues.
        self._events: queue.SimpleQueue[Received | Granted | _Lost] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[Taken] = queue.SimpleQueue()
        self._fate: queue.SimpleQueue[BrokerError | None] = queue.SimpleQueue()
        self._lost = ""
        self.window = WINDOW
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            # The name is random: two clients of one name would throw each other off the broker.
            client_id=f"ostiary-fleet-{secrets.token_hex(6)}",
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_granted
        client.on_unsubscribe = self._on_granted
        client.on_message = self._on_message
        client.on_socket_open = without_delay
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(WINDOW)

    def __enter__(self: C) -> C:
        settings = self._settings
        try:
            secure(self._client, settings)
        except (OSError, ValueError) as error:
            raise BrokerError(
                f"the credentials for the broker cannot be used: {error}",
                "check ca, cert, key and password_file in fleet.toml",
            ) from error
        try:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ValueError) as error:
            problem = unreachable(settings, error)
            if isinstance(error, ssl.SSLError):
                problem = explained(settings, problem)
            raise problem from error
        self._client.loop_start()
        try:
            fate = self._fate.get(timeout=CONNECT_S)
        except queue.Empty:
            fate = BrokerError(
                f"{self.where} accepted the connection, but says nothing",
                "check that it is an MQTT broker, and that the port is right for TLS or for none",
            )
        if fate is not None:
            self.__exit__()
            raise explained(settings, fate)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes, retain: bool, said: Properties | None = None) -> int:
        """Publish at QoS 1; returns the `mid` that the broker's answer will carry."""
        return self._client.publish(topic, payload, 1, retain, said).mid

    def answer(self) -> Taken:
        """The next answer to a publish."""
        try:
            taken = self._taken.get(timeout=ANSWER_S)
        except queue.Empty:
            raise self.silent() from None
        if self._lost:
            raise self._gone()
        return taken

    def subscribe(self, filters: Sequence[str], qos: int, replay: bool) -> int:
        """Subscribe to some filters; returns the `mid` that `Granted` will carry.

        `replay` asks for the retained messages too.
        """
        always, never = (
            SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
            SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        options = SubscribeOptions(qos, retainHandling=always if replay else never)
        _, mid = self._client.subscribe([(name, options) for name in filters])
        if mid is None:
            raise self._gone()
        return mid

    def unsubscribe(self, filters: Sequence[str]) -> int:
        """End some subscriptions; returns the `mid` that `Granted` will carry."""
        _, mid = self._client.unsubscribe(list(filters))
        if mid is None:
            raise self._gone()
        return mid

    def event(self, timeout_s: float) -> Received | Granted | None:
        """The next message or answer; None if nothing came in time."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(event, _Lost):
            raise self._gone()
        if isinstance(event, Granted) and event.refusal:
            raise BrokerError(
                f"the broker refused a subscription: {event.refusal}",
                "let the operator read the site in the broker's access list",
            )
        return event

    def silent(self) -> BrokerError:
        return BrokerError(f"{self.where} does not answer any more", "run the command again")

    def _gone(self) -> BrokerError:
        self._events.put(_Lost())  # so that the next call raises as well
        return BrokerError(
            f"the connection to {self.where} was lost: {self._lost or 'not connected'}",
            "run the command again: what the broker has taken stays",
        )

    # The client's thread calls these methods.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        if reason.is_failure:
            self._fate.put(refused(self.where, str(reason)))
            return
        # paho itself ignores how many messages the broker accepts at a time.
        self.window = max(1, min(getattr(props, "ReceiveMaximum", WINDOW), WINDOW))
        self._fate.put(None)

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        self._lost = self._lost or str(reason)
        self._fate.put(ended(self.where, self._lost))
        self._taken.put(Taken(0, 0, ""))
        self._events.put(_Lost())

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, props: Any) -> None:
        at_once(client.socket())
        self._taken.put(Taken(mid, reason.value, str(reason)))

    def _on_granted(self, client: Any, data: Any, mid: int, reasons: Any, props: Any) -> None:
        refusals = [str(reason) for reason in reasons if reason.is_failure]
        self._events.put(Granted(mid, refusals[0] if refusals else ""))

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        said = message.properties
        answer_on = getattr(said, "ResponseTopic", None)
        correlation = getattr(said, "CorrelationData", None)
        payload = bytes(message.payload)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # An error raised here would end paho's thread silently.
            self._lost = "the broker sent a topic that is not UTF-8"
            self._taken.put(Taken(0, 0, ""))
            self._events.put(_Lost())
            return
        self._events.put(Received(topic, payload, message.retain, answer_on, correlation))
