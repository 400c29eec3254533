"""Seals the operator's messages to their topics, and opens messages found at the broker."""

from __future__ import annotations

from typing import TypeVar

from ostiary.edge.errors import SealError
from ostiary.edge.roster.record import Body, Head, Index, Record, decode, encode, shard_of
from ostiary.edge.roster.sealing import Opener
from ostiary.edge.wire import RosterTopics
from ostiary.fleet.broker.session import Retained
from ostiary.fleet.site.fleet import Fleet

B = TypeVar("B", bound=Body)


class Voice:
    """Seals and opens as this operator. Messages that another operator signed count as damaged."""

    def __init__(self, fleet: Fleet) -> None:
        self.topics = RosterTopics(fleet.settings.site)
        self._sealer = fleet.sealer()
        self._opener = Opener(fleet.site(), [self._sealer.public])

    def record(self, record: Record) -> Retained:
        return self._sealed(self.topic_of(record.subject), record)

    def index(self, index: Index) -> Retained:
        return self._sealed(self.topics.index(index.shard), index)

    def head(self, head: Head) -> Retained:
        return self._sealed(self.topics.head, head)

    def topic_of(self, subject: str) -> str:
        return self.topics.subject(shard_of(subject), subject)

    def opened(self, topic: str, payload: bytes | None, kind: type[B]) -> B | None:
        """The body in a payload; None if there is no payload or it is not genuine."""
        if payload is None:
            return None
        try:
            return decode(self._opener.open(topic, payload), kind)
        except SealError:
            return None

    def foreign(self, topic: str, payload: bytes | None) -> bool:
        """Whether another operator or another site sealed a payload; False if the payload is
        garbage, or ours on another topic."""
        try:
            self._opener.open(topic, payload or b"")
        except SealError as error:
            return error.reason in ("other-site", "unknown-operator")
        return False

    def _sealed(self, topic: str, body: Body) -> Retained:
        return Retained(topic, self._sealer.seal(topic, encode(body)))
