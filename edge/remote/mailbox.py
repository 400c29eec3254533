"""Roster messages from the broker: opened in the client's thread, taken by the loop."""

from __future__ import annotations

import logging
import queue
from dataclasses import dataclass

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.errors import SealError
from ostiary.edge.roster.changes import Message, Sealed, SealedHead
from ostiary.edge.roster.record import Head, Index, Record, decode, shard_of
from ostiary.edge.roster.sealing import Opener
from ostiary.edge.wire import RosterTopics

log = logging.getLogger(__name__)

WAITING = 4000
"""The most messages that wait for the loop; others are dropped, and requested again later."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An opened message on a topic of the roster, or the error. `kept`: the broker had stored it as
    retained; otherwise it was just published. `again`: the broker sent it before, on a connection
    older than `connection`."""

    topic: tuple[str, ...]
    opened: Message | SealError
    kept: bool
    again: bool
    connection: int


class Mailbox:
    """Queue of opened messages: `put` is called in the client's thread, `take` in the loop's."""

    def __init__(self, topics: RosterTopics, opener: Opener) -> None:
        self._topics, self._opener = topics, opener
        self._waiting: queue.Queue[Mail] = queue.Queue(WAITING)

    def put(self, received: Received) -> None:
        """Open a message and keep it for the loop; messages on other topics are ignored."""
        topic = self._topics.parse(received.topic)
        # An empty payload only removes a retained message; the index shows which subject was
        # removed.
        if topic is None or not received.payload:
            return
        try:
            opened: Message | SealError = self.open(received.topic, received.payload)
        except SealError as error:
            # Keep a copy: the error's own traceback holds the payload, and thousands of errors may
            # wait here.
            opened = SealError(error.reason, error.message)
        mail = Mail(topic, opened, received.retained, received.again, received.connection)
        try:
            self._waiting.put_nowait(mail)
        except queue.Full:
            log.debug("a roster message is dropped: the queue is full")

    def take(self, most: int) -> list[Mail]:
        """Take the oldest messages, `most` at most."""
        taken: list[Mail] = []
        while len(taken) < most:
            try:
                taken.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return taken

    def open(self, name: str, payload: bytes) -> Message:
        """Open a message. Raises SealError if it is not genuine or belongs to another topic."""
        topic = self._topics.parse(name)
        if topic is None:
            raise SealError("moved", "not a topic of the roster")
        body = self._opener.open(name, payload)
        if topic[0] == "head":
            return SealedHead(decode(body, Head), payload)
        if topic[0] == "index":
            index = decode(body, Index)
            if index.shard != topic[1]:
                raise SealError("moved", f"an index of {index.shard}")
            return index
        record = decode(body, Record)
        if (shard_of(record.subject), record.subject) != topic[1:]:
            raise SealError("moved", "a record of another subject")
        return Sealed(record, payload)
