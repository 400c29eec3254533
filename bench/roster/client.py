"""A small MQTT 5 client without a thread, so that a thousand of them fit one process."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Sequence

from bench.roster.operator import HERE
from ostiary.edge.adapters.mqtt.link import Filter, Received

CONNACK, PUBLISH, SUBACK = 2, 3, 9
SESSION_S = 7 * 24 * 3600
RECEIVE_MAXIMUM = 20
CHUNK = 1 << 16
PATIENCE_S = 30.0


class Client:
    """What `edge.remote.syncer.SyncLink` asks for. `read` is called when the socket has something.

    `granted` counts subscriptions that the broker has answered. `bytes_in` and `bytes_out` are
    MQTT's bytes, TCP's headers not counted. It never pings: its keep-alive is off.
    """

    def __init__(
        self, port: int, name: str, inbox: Callable[[Received], None], clean: bool = False
    ) -> None:
        self.connected = False
        self.connection = self.granted = 0
        self.bytes_in = self.bytes_out = 0
        self._inbox = inbox
        self._numbers = itertools.cycle(range(1, 65536))
        self._rest = b""
        self._socket = socket.create_connection((HERE, port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lasting = struct.pack(">BIBH", 0x11, 0 if clean else SESSION_S, 0x21, RECEIVE_MAXIMUM)
        head = _text("MQTT") + struct.pack(">BBH", 5, 2 if clean else 0, 0)
        self._send(0x10, head + _length(len(lasting)) + lasting + _text(name))

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait_connected(self) -> None:
        """Read until the broker has accepted us."""
        while not self.connected:
            self.read()

    def read(self) -> None:
        """Take what the socket has; waits where it has nothing."""
        came = self._socket.recv(CHUNK)
        if not came:
            raise ConnectionError("the broker closed the connection")
        self.bytes_in += len(came)
        buffer, at = self._rest + came, 0
        while (end := _end(buffer, at)) is not None:
            start, stop = end
            self._take(buffer[at], buffer[start:stop])
            at = stop
        self._rest = buffer[at:]

    def subscribe(self, filters: Sequence[Filter]) -> bool:
        body = b"".join(
            _text(f.topic) + bytes([f.qos | (0 if f.replay else 2) << 4]) for f in filters
        )
        self._send(0x82, struct.pack(">HB", next(self._numbers), 0) + body)
        return True

    def unsubscribe(self, topics: Sequence[str]) -> bool:
        body = b"".join(map(_text, topics))
        self._send(0xA2, struct.pack(">HB", next(self._numbers), 0) + body)
        return True

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> bool:
        number = struct.pack(">H", next(self._numbers)) if qos else b""
        self._send(0x30 | qos << 1 | int(retain), _text(topic) + number + b"\0" + payload)
        return True

    def close(self) -> None:
        """Say goodbye and go."""
        self._send(0xE0, b"")
        self._socket.close()
        self.connected = False

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == CONNACK:
            if body[1]:
                raise ConnectionError(f"the broker refused: {body[1]:#x}")
            self.connected, self.connection = True, self.connection + 1
        elif kind == SUBACK:
            self.granted += 1
        elif kind == PUBLISH:
            self._take_message(first, body)

    def _take_message(self, first: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")
        topic, qos = body[2:at].decode(), first >> 1 & 3
        if qos:
            number, at = body[at : at + 2], at + 2
        size, at = _number(body, at)
        if qos:
            self._send(0x40, number)
        self._inbox(Received(topic, body[at + size :], bool(first & 1), None, None))

    def _send(self, first: int, body: bytes) -> None:
        packet = bytes([first]) + _length(len(body)) + body
        self.bytes_out += len(packet)
        self._socket.sendall(packet)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _length(number: int) -> bytes:
    """MQTT's variable byte integer."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def _number(buffer: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where what follows begins; IndexError where it is not whole."""
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _end(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the packet's body begins and ends; None where it has not come yet."""
    try:
        size, start = _number(buffer, at + 1)
    except IndexError:
        return None
    return (start, start + size) if start + size <= len(buffer) else None
