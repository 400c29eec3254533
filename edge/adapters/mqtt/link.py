"""The connection to the broker: the will, publishing, subscribing, and sending the journal."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from ostiary.edge.adapters.mqtt.outbox import FIRST_WAIT_S, LONGEST_WAIT_S, WINDOW, Outbox
from ostiary.edge.adapters.mqtt.properties import SESSION_S, answering, asked, connecting, options
from ostiary.edge.adapters.storage.journal import Journal, JournalEntry
from ostiary.edge.errors import ConfigError
from ostiary.edge.sections import MqttSection

log = logging.getLogger(__name__)

WITH_WILL = "Disconnect with will message"

Will = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Received:
    """A message, its payload still sealed. `retained`: the broker had stored it, or with
    `as_published` its publisher asked for that. `again`: the broker sent it on an earlier
    connection too and got no acknowledgement. `connection`: the number of the connection that it
    came on; 0 if they are not counted."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    again: bool = False
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """A subscription. Without `replay` the broker sends no retained messages, only those published
    from now on. With `as_published` a live message also shows if its publisher asked to retain it.
    """

    topic: str
    qos: int = 1
    replay: bool = True
    as_published: bool = False


Inbox = Callable[[Received], None]


class Link:
    """An MQTT client in a thread of its own, which only fills queues; `pump` empties them.

    `session` grows with every connection, so that a late will is known to be stale. `connection`
    counts the connections that the broker accepted: when it grows, subscribe again. `kept` says
    whether the broker still had the session's subscriptions.
    """

    def __init__(
        self,
        settings: MqttSection,
        client_id: str,
        state_topic: str,
        will: Will,
        clock: Callable[[], float] = time.monotonic,
        inbox: Inbox | None = None,
    ) -> None:
        """`will(session)` is the message that the broker publishes if this client vanishes. `inbox`
        is called with each message, in the client's thread: it must only fill a queue.

        Raises ConfigError if the certificates or the password cannot be read.
        """
        self._settings, self._topic, self._will = settings, state_topic, will
        self._inbox = inbox
        self.session = 0
        self.connected = self.kept = False
        self.problem = "never connected"
        self.connection = self._pumped = 0
        self._connecting = threading.Lock()
        self._outbox = Outbox(clock)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5
        )
        self._client.max_inflight_messages_set(2 * WINDOW)
        self._client.reconnect_delay_set(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._listen()
        try:
            secure(self._client, settings)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the broker's credentials cannot be used: {error}") from error

    def _listen(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        # This is set before connecting: in a kept session messages come right after the CONNACK.
        client.on_message = self._on_message
        client.on_socket_open = without_delay
        # An exception from a callback would end paho's thread, and so the connection for good.
        client.suppress_exceptions = True
        client.enable_logger(_errors_only())

    def start(self, session: int) -> None:
        """Start connecting in the background; attempts go on while the broker is away."""
        self.session = session
        self._client.will_set(self._topic, self._will(session), qos=1, retain=True)
        settings = self._settings
        self._client.connect_async(
            settings.host,
            settings.port,
            settings.keepalive_s,
            # Without an inbox, keep no session at the broker. With one, begin a new session at each
            # start: this process does not know the subscriptions of the process before it, so it
            # could not end them; it asks again for what was missed.
            clean_start=self._inbox is None or paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=connecting(SESSION_S if self._inbox is not None else 0),
        )
        self._client.loop_start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> bool:
        """Publish a message that may be lost with the connection; False if not connected."""
        with self._connecting:
            if self.connected:
                self._client.publish(topic, payload, qos, retain, answering(correlation))
            return self.connected

    def subscribe(self, filters: Sequence[Filter]) -> bool:
        """Subscribe to topics, all in one packet; False if not connected."""
        wanted = [(f.topic, options(f.qos, f.replay, f.as_published)) for f in filters]
        with self._connecting:
            if self.connected and wanted:
                self._client.subscribe(wanted)
            return self.connected

    def unsubscribe(self, topics: Sequence[str]) -> bool:
        """Unsubscribe from topics; False if not connected."""
        with self._connecting:
            if self.connected and topics:
                self._client.unsubscribe(list(topics))
            return self.connected

    def pump(self, journal: Journal, topic: str) -> bool:
        """Mark entries that the broker took and send the next; True if the connection is new.

        Raises StoreError if the journal cannot be read or marked; the next call tries again.
        """
        fresh, self._pumped = self._pumped != self.connection, self.connection
        self.problem = self._outbox.take_answers() or self.problem
        if fresh:
            self._outbox.start_over()
        self._outbox.mark(journal)
        self._send(self._outbox.due(journal), topic)
        return fresh

    def _send(self, entries: list[JournalEntry], topic: str) -> None:
        with self._connecting:
            # If a newer connection has come since `pump` looked, the next `pump` starts over.
            if not self.connected or self._pumped != self.connection:
                return
            for entry in entries:
                info = self._client.publish(topic, entry.payload, qos=1)
                self._outbox.sent(info.mid, entry)

    @property
    def under_way(self) -> int:
        """The number of entries that were sent and not yet acknowledged."""
        return len(self._outbox)

    def stop(self, payload: bytes, wait_s: float) -> None:
        """Publish a last state in place of the will, for up to `wait_s`, and disconnect."""
        said = False
        if self.connected:
            info = self._client.publish(self._topic, payload, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(wait_s)
            said = info.is_published()
        # If the goodbye was not sent, the will must be: a plain disconnect would discard the will
        # and leave `online` at the broker.
        reason = None if said else ReasonCode(PacketTypes.DISCONNECT, WITH_WILL)
        # What paho logs about a connection that we close is no error.
        self._client.disable_logger()
        self._client.disconnect(reason)
        self._client.loop_stop()

    # The client's thread calls these methods.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        if reason.is_failure:
            self.problem = f"the broker refused the connection: {reason}"
            return
        limit = getattr(props, "ReceiveMaximum", None)
        with self._connecting:
            # Messages that paho kept from the last connection would be sent beside the outbox's.
            client.drop_out_messages()
            self._outbox.window = max(1, min(WINDOW, (limit or 2 * WINDOW) // 2))
            # `kept` is set before `connection` grows, since other threads wait for the latter.
            self.kept = bool(flags.session_present)
            self.connection += 1
            self.connected, self.problem = True, ""

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self.problem = f"cannot reach {self._settings.host}:{self._settings.port}"

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        # If the broker refused the connection, `problem` already holds its reason: keep that.
        if self.connected:
            self.problem = f"disconnected: {reason}"
        self.connected = False
        self.session += 1
        client.will_set(self._topic, self._will(self.session), qos=1, retain=True)

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, props: Any) -> None:
        self._outbox.answer(mid, str(reason) if reason.is_failure else "")

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: Any, props: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self.problem = f"the broker refused {len(refused)} subscriptions: {refused[0]}"

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if self._inbox is not None:
            payload = bytes(message.payload)
            asks, again = asked(message), bool(message.dup)
            topic, kept = message.topic, message.retain
            self._inbox(Received(topic, payload, kept, *asks, again, self.connection))


def _errors_only() -> logging.Logger:
    """A logger for paho that passes exceptions from callbacks, but not every packet."""
    quiet = log.getChild("client")
    quiet.setLevel(logging.ERROR)
    return quiet


def without_delay(client: Any, data: Any, connection: Any) -> None:
    """Turn Nagle's algorithm off: with delayed acknowledgements it costs 40 ms a message."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def secure(client: paho.Client, settings: MqttSection) -> None:
    """Give a client the profile's authority, certificate and password.

    Raises OSError or ValueError if they cannot be used.
    """
    if settings.ca is not None:
        client.tls_set(str(settings.ca), _text(settings.cert), _text(settings.key))
    if settings.username is not None:
        file = settings.password_file
        password = file.read_text().strip() if file is not None else None
        client.username_pw_set(settings.username, password)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
