"""Make the broker equal to the registry, whatever it held or lost.

The order is safe to be cut off after any message: records, then the indexes that list them, then
the head that sums those up, and only then are topics cleared that nobody lists any more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from ostiary.edge.config import MqttSection
from ostiary.edge.errors import SealError
from ostiary.edge.files import alone, write_atomically
from ostiary.edge.roster.record import Head, Record, decode, encode
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.readback import Reads
from ostiary.fleet.broker.session import Broker, Retained
from ostiary.fleet.doors.devices import claimed, highest, read_known
from ostiary.fleet.doors.receipts import await_erasure
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.changes import NotOurs, send_changes
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.publishing.survey import Found, Told, ahead, digest, survey
from ostiary.fleet.registry.writer import Registry
from ostiary.fleet.site.fleet import Fleet

__all__ = ["OlderRegistry", "Published", "await_erasure", "publish", "publish_changes"]

LOCK, LAST = "publishing", "published.head"
BUSY_S, AGAIN_S = 60.0, 0.1
PASSES = 4
"""What was published and is not there after so many times will not be there next time either."""


class Wire(Reads, Protocol):
    """`ostiary.fleet.broker.session.Broker`, as far as it is needed here."""

    def publish(self, messages: Iterable[Retained], told: Callable[[int], None] = ...) -> int: ...


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What it took to make the broker equal to the registry.

    `missing` and `changed` count records that were not there, and that were not what they should
    be; `cleared` topics that did not belong. `everything`: all of it was read back and compared.
    `took_over` is the number that this registry was raised above.
    """

    sequence: int
    subjects: int
    missing: int = 0
    changed: int = 0
    indexes: int = 0
    cleared: int = 0
    everything: bool = True
    took_over: int | None = None


class OlderRegistry(FleetError):
    """What is at the broker was not signed from this registry."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}: this registry is not the newest; restored from a backup?",
            "find the newest one; or `ostiary-fleet publish --take-over` makes this one count,"
            " and whatever it does not know is lost",
        )


class ForeignRoster(OlderRegistry):
    """The broker has a roster that was sealed with other keys."""

    def __init__(self) -> None:
        FleetError.__init__(
            self,
            "the roster at the broker was signed by another operator, or closed with another"
            " site's key",
            "is host in fleet.toml the right broker, and the site's name this fleet's own? After a"
            " change of keys, `ostiary-fleet publish --take-over` replaces it",
        )


def untold(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


Connect = Callable[[MqttSection], contextlib.AbstractContextManager[Wire]]


def publish(
    fleet: Fleet,
    take_over: bool = False,
    told: Told = untold,
    wall: Callable[[], float] = time.time,
    connect: Connect = Broker,
) -> Published:
    """Read everything back, send what is missing or wrong, clear what does not belong.

    Raises OlderRegistry, a FleetError, where devices may hold a newer roster or one of other keys;
    `take_over` numbers every record anew, above all that was seen. Raises BrokerError.
    """
    with _alone(fleet), connect(fleet.mqtt()) as broker:
        return _Publisher(fleet, broker, told, wall, take_over).everything()


def publish_changes(
    fleet: Fleet,
    told: Told = untold,
    wall: Callable[[], float] = time.time,
    connect: Connect = Broker,
) -> Published:
    """Send what was changed since the last time, where the broker still has that; else everything.

    Raises as `publish` does.
    """
    with _alone(fleet), connect(fleet.mqtt()) as broker:
        publisher = _Publisher(fleet, broker, told, wall, take_over=False)
        return publisher.changes() or publisher.everything()


class _Publisher:
    def __init__(
        self,
        fleet: Fleet,
        broker: Wire,
        told: Told,
        wall: Callable[[], float],
        take_over: bool,
    ) -> None:
        self._broker, self._told, self._wall = broker, told, wall
        self._take_over = take_over
        self._took_over: int | None = None
        self._site = fleet.settings.site
        self._registry: Registry = fleet.registry()
        self._voice = Voice(fleet)
        self._last = fleet.folder / LAST
        self._sent: dict[str, bytes] = {}

    def changes(self) -> Published | None:
        """The short way; None where it is not open."""
        registry = self._registry
        with registry.snapshot():
            sequence, last = registry.sequence, _read_last(self._last)
            try:
                changed = send_changes(registry, self._voice, self._broker, last, self._wall())
            except NotOurs:
                return None
            subjects = sum(s.count for s in registry.head(0).sums)
        if changed.head is not None:
            self._keep(changed.head)
        registry.set_published(sequence)
        return Published(
            sequence=sequence, subjects=subjects, changed=changed.records,
            indexes=changed.indexes, cleared=changed.cleared, everything=False,
        )  # fmt: skip

    def everything(self) -> Published:
        """The long way, until a comparison finds nothing that differs."""
        if self._take_over:
            self._number_above(claimed(self._broker, self._site, self._registry.sequence))
        first: Found | None = None
        for _ in range(PASSES):
            with self._registry.snapshot():
                number = self._registry.sequence
                found = survey(self._registry, self._voice, self._broker, self._told, self._sent)
                if not found.newest:
                    found.other = found.other or self._ahead(number)
                foreign = found.foreign and self._took_over is None
                settled = first is not None and not found.differs
                if not found.other and not foreign and not settled:
                    self._send(found)
            if (found.other or foreign) and not self._take_over:
                raise OlderRegistry(found.other) if found.other else ForeignRoster
            if found.other or foreign:
                self._number_above(max(found.newest, number))
            else:
                first = first or found
                if not found.differs:
                    return self._done(number, first)
        raise BrokerError(
            "the broker has taken everything and does not give it back as it was",
            "may the operator read the roster there, does it retain, and who else writes?",
        )

    def _ahead(self, number: int) -> str:
        """Why this registry can not be the newest though the broker has no roster: a door of ours
        holds more than was ever published from here."""
        said = read_known(self._broker, self._site, self._registry.devices(), ["roster"])
        attempted = self._registry.attempted
        held = highest(said, number)
        return ahead(held, attempted, number) if held > attempted else ""

    def _number_above(self, number: int) -> None:
        if number >= self._registry.sequence:
            self._took_over = number
            self._registry.raise_sequence(number, self._wall())
            self._sent.clear()

    def _send(self, found: Found) -> None:
        registry, voice = self._registry, self._voice
        head = registry.head(self._wall())
        registry.attempt(head.sequence)
        # Who was erased leaves by a tombstone first: online devices act on it at once.
        self._publish(
            "erasing", (voice.record(Record(s, head.sequence, gone=True)) for s in found.erased),
            len(found.erased),
        )  # fmt: skip
        entries = registry.entries()
        wrong = sorted([*found.missing, *found.changed], key=lambda subject: entries[subject])
        self._publish("publishing", (voice.record(r) for r in registry.records(wrong)), len(wrong))
        indexes = (voice.index(registry.index(name)) for name in found.indexes)
        self._publish("indexes", indexes, len(found.indexes))
        self._publish("head", [voice.head(head)], 1)
        self._keep(head)
        strange = found.strange | {voice.topic_of(s) for s in found.erased}
        self._broker.publish(Retained(topic, b"") for topic in strange)

    def _publish(self, stage: str, messages: Iterable[Retained], total: int) -> None:
        if total:
            self._broker.publish(
                self._noted(messages), lambda count: self._told(stage, count, total)
            )

    def _noted(self, messages: Iterable[Retained]) -> Iterator[Retained]:
        for message in messages:
            self._sent[message.topic] = digest(message.payload)
            yield message

    def _keep(self, head: Head) -> None:
        """What the broker has now, so that the next time can be short."""
        write_atomically(self._last, encode(head))

    def _done(self, sequence: int, first: Found) -> Published:
        self._registry.set_published(sequence)
        return Published(
            sequence=sequence,
            subjects=len(self._registry.entries()),
            missing=len(first.missing),
            changed=len(first.changed),
            indexes=len(first.indexes),
            cleared=len(first.strange),
            took_over=self._took_over,
        )


def _read_last(path: Path) -> Head | None:
    try:
        return decode(path.read_bytes(), Head)
    except (OSError, SealError):
        return None


@contextlib.contextmanager
def _alone(fleet: Fleet) -> Iterator[None]:
    """One publisher at a time: two would put older indexes over newer ones."""
    folder = fleet.folder / LOCK
    folder.mkdir(mode=0o700, exist_ok=True)
    busy = FleetError("another ostiary-fleet is publishing", "try again when it is done")
    until = time.monotonic() + BUSY_S
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(alone(folder, busy))
                break
            except FleetError:
                if time.monotonic() >= until:
                    raise
                time.sleep(AGAIN_S)
        yield
