"""A broker in memory with one device at it, for tests without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from paho.mqtt.client import topic_matches_sub

from ostiary.edge import wire
from ostiary.edge.adapters.mqtt.link import Filter, Received
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.wire import RosterMessage


class FakeBroker:
    """Has the methods of `ostiary.edge.adapters.mqtt.link.Link` that a syncer needs.

    Of what one subscription asks for it brings `queue` messages and drops the rest, and never what
    is `lost`.
    """

    def __init__(self, mailbox: Mailbox, queue: int = 1000) -> None:
        self.connected, self.connection = True, 1
        self.kept: dict[str, bytes] = {}
        self.lost: set[str] = set()
        self.queue, self.deaf, self.refusing = queue, False, False
        self.asked: list[list[Filter]] = []
        self.left: list[str] = []
        self.said: list[tuple[str, bytes, bool]] = []
        self._live: dict[str, Filter] = {}
        self.join(mailbox)

    def join(self, mailbox: Mailbox) -> None:
        """Connect another device, or the same one after a restart."""
        self._mailbox, self.connection = mailbox, self.connection + 1
        self._live.clear()

    def subscribe(self, filters: Sequence[Filter]) -> bool:
        if self.refusing:
            return False
        self.asked.append(list(filters))
        self._live.update((f.topic, f) for f in filters)
        due: dict[str, None] = {}
        for wanted in (f.topic for f in filters if f.replay):
            if "+" not in wanted:
                due.update({wanted: None} if wanted in self.kept else {})
                continue
            due.update((t, None) for t in self.kept if topic_matches_sub(wanted, t))
        for topic in [t for t in due if t not in self.lost][: self.queue]:
            self.replay(topic)
        return True

    def replay(self, topic: str) -> None:
        """Deliver the retained message of a topic, as after a subscription."""
        self.bring(topic, self.kept[topic], retained=True)

    def unsubscribe(self, topics: Sequence[str]) -> bool:
        self.left += topics
        for topic in topics:
            self._live.pop(topic, None)
        return True

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> bool:
        self.said.append((topic, payload, retain))
        return True

    def keep(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish as an operator does."""
        for topic, payload in messages:
            self.kept[topic] = payload
            if not payload:
                del self.kept[topic]
            if not self.deaf and self._hears(topic):
                self.bring(topic, payload, retained=False)

    def _hears(self, topic: str) -> bool:
        wild = [wanted for wanted in self._live if "+" in wanted]
        return topic in self._live or any(topic_matches_sub(wanted, topic) for wanted in wild)

    def bring(self, topic: str, payload: bytes, retained: bool, again: bool = False) -> None:
        """Send a message; `again`: as a repetition of one without acknowledgement."""
        self._mailbox.put(Received(topic, payload, retained, None, None, again, self.connection))

    def acknowledged(self) -> RosterMessage:
        """The newest acknowledgement, without its time."""
        _, payload, retained = self.said[-1]
        assert retained
        return msgspec.structs.replace(wire.decode(payload, RosterMessage), at="")

    def topics_asked(self) -> list[str]:
        return [wanted.topic for filters in self.asked for wanted in filters]
