"""What comes from the broker for the roster: opened in the client's thread, taken by the loop."""

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
"""Messages between the client's thread and the loop; what is beyond is dropped, and asked for."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What came on a topic of the roster, opened, or why it was not. The broker had `kept` it, or
    it was just published; `again`: it was sent on an earlier `connection` than this one already."""

    topic: tuple[str, ...]
    opened: Message | SealError
    kept: bool
    again: bool
    connection: int


class Mailbox:
    """`put` is called in the client's thread, `take` in the loop's."""

    def __init__(self, topics: RosterTopics, opener: Opener) -> None:
        self._topics, self._opener = topics, opener
        self._waiting: queue.Queue[Mail] = queue.Queue(WAITING)

    def put(self, received: Received) -> None:
        """Open a message and keep it for the loop; those of other topics are not looked at."""
        topic = self._topics.parse(received.topic)
        # An empty payload is how a retained message is taken away; the index knows who left.
        if topic is None or not received.payload:
            return
        try:
            opened: Message | SealError = self.open(received.topic, received.payload)
        except SealError as error:
            # Not the error itself: its traceback holds the payload, and thousands may wait here.
            opened = SealError(error.reason, error.message)
        mail = Mail(topic, opened, received.retained, received.again, received.connection)
        try:
            self._waiting.put_nowait(mail)
        except queue.Full:
            log.debug("the roster comes faster than it is taken")

    def take(self, most: int) -> list[Mail]:
        """The oldest of what came."""
        taken: list[Mail] = []
        while len(taken) < most:
            try:
                taken.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return taken

    def open(self, name: str, payload: bytes) -> Message:
        """A genuine message that says of itself what its topic says. Raises SealError."""
        topic = self._topics.parse(name)
        if topic is None:
            raise SealError("moved", "no topic of the roster")
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
