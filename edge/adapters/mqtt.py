"""The broker: a will, retained state, and the journal's entries in order until they are taken."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge.adapters.journal import Entry, Journal
from edge.config import Mqtt
from edge.errors import ConfigError

WINDOW = 10
"""Entries under way at once: half of what Mosquitto takes, so that state and events find room."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1, 30
WITH_WILL = "Disconnect with will message"

Will = Callable[[int], bytes]


class Link:
    """The client runs in a thread of its own and only fills queues; `pump` empties them.

    `session` grows with every connection, so that a late will is known to be stale.
    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        state_topic: str,
        will: Will,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`will(session)` is what the broker says for us when we vanish.

        Raises ConfigError where certificates or the password can not be read.
        """
        self._settings, self._topic, self._will = settings, state_topic, will
        self._clock = clock
        self.session = 0
        self.connected = False
        self.problem = "never connected"
        self._answers: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._connecting = threading.Lock()
        self._connection = self._pumped = 0
        self._window = WINDOW
        self._under_way: dict[int, int] = {}
        self._done: list[int] = []
        self._last = 0
        self._pause_until = 0.0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5
        )
        self._client.max_inflight_messages_set(2 * WINDOW)
        self._client.reconnect_delay_set(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_socket_open = without_delay
        try:
            secure(self._client, settings)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the broker's credentials can not be used: {error}") from error

    def start(self, session: int) -> None:
        """Begin to connect, and go on for ever; the broker may be away."""
        self.session = session
        self._client.will_set(self._topic, self._will(session), qos=1, retain=True)
        settings = self._settings
        self._client.connect_async(settings.host, settings.port, settings.keepalive_s)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> bool:
        """Send what need not outlive the connection; False where there is none."""
        with self._connecting:
            if self.connected:
                self._client.publish(topic, payload, qos, retain)
            return self.connected

    def pump(self, journal: Journal, topic: str) -> bool:
        """Mark what the broker took, send what is next; whether a connection is new.

        Raises StoreError where the journal can not be read or marked; it is tried again then.
        """
        fresh, self._pumped = self._pumped != self._connection, self._connection
        self._take_answers()
        if fresh:
            self._start_over()
        if self._done:
            journal.acknowledge(self._done)
            self._done = []
        if self._pause_until and not self._under_way and self._clock() >= self._pause_until:
            self._start_over()
        if not self._pause_until and len(self._under_way) < self._window:
            self._send(journal.pending(self._last, self._window - len(self._under_way)), topic)
        return fresh

    def _start_over(self) -> None:
        """Send again from the oldest that nobody took: the journal decides, not paho's memory."""
        self._under_way.clear()
        self._last, self._pause_until = 0, 0.0

    def _take_answers(self) -> None:
        while not self._answers.empty():
            mid, refusal = self._answers.get()
            seq = self._under_way.pop(mid, None)
            if seq is None:
                continue
            if refusal:
                # The broker said no: nothing is marked, and all is sent again after a while.
                self.problem = f"the broker refused a decision: {refusal}"
                self._pause_until = self._clock() + LONGEST_WAIT_S
            else:
                self._done.append(seq)

    def _send(self, entries: list[Entry], topic: str) -> None:
        with self._connecting:
            # A connection newer than the one that was looked at starts over first.
            if not self.connected or self._pumped != self._connection:
                return
            for entry in entries:
                info = self._client.publish(topic, entry.payload, qos=1)
                self._under_way[info.mid] = self._last = entry.seq

    @property
    def under_way(self) -> int:
        """Entries that were sent and not yet acknowledged."""
        return len(self._under_way)

    def stop(self, payload: bytes, wait_s: float) -> None:
        """Say a clean goodbye in place of the will, and disconnect."""
        said = False
        if self.connected:
            info = self._client.publish(self._topic, payload, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(wait_s)
            said = info.is_published()
        # Unsaid, the will must speak: a plain goodbye would discard it and leave `online` behind.
        reason = None if said else ReasonCode(PacketTypes.DISCONNECT, WITH_WILL)
        self._client.disconnect(reason)
        self._client.loop_stop()

    # Called by the client's thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        if reason.is_failure:
            self.problem = f"the broker refused: {reason}"
            return
        limit = getattr(props, "ReceiveMaximum", None)
        with self._connecting:
            # What paho kept of the last connection would be sent before and beside ours.
            client.drop_out_messages()
            self._window = max(1, min(WINDOW, (limit or 2 * WINDOW) // 2))
            self._connection += 1
            self.connected, self.problem = True, ""

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self.problem = f"can not reach {self._settings.host}:{self._settings.port}"

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, props: Any) -> None:
        if self.connected:  # else the refusal that is said already is the better reason
            self.problem = f"disconnected: {reason}"
        self.connected = False
        self.session += 1
        client.will_set(self._topic, self._will(self.session), qos=1, retain=True)

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, props: Any) -> None:
        self._answers.put((mid, str(reason) if reason.is_failure else ""))


def without_delay(client: Any, data: Any, connection: Any) -> None:
    """Nagle against delayed acknowledgements costs 40 ms a message."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def secure(client: paho.Client, settings: Mqtt) -> None:
    """Give a client the profile's authority, certificate and password.

    Raises OSError or ValueError where they can not be used.
    """
    if settings.ca is not None:
        client.tls_set(str(settings.ca), _text(settings.cert), _text(settings.key))
    if settings.username is not None:
        file = settings.password_file
        password = file.read_text().strip() if file is not None else None
        client.username_pw_set(settings.username, password)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
