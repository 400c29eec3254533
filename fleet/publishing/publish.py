"""Makes the broker equal to the registry, whatever the broker held or lost.

Publishing may be interrupted after any message: records come first, then the indexes that list
them, then the head that sums up the indexes. Topics that no index lists are cleared last.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from ostiary.edge.errors import SealError
from ostiary.edge.files import alone, write_atomically
from ostiary.edge.roster.record import Head, Record, decode, encode
from ostiary.edge.sections import MqttSection
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.readback import Reads
from ostiary.fleet.broker.session import Broker, Retained
from ostiary.fleet.doors.devices import claimed, highest, read_known
from ostiary.fleet.doors.receipts import await_erasure
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.changes import NotOurs, send_changes
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.publishing.survey import Found, Told, ahead, digest, survey
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet

__all__ = ["OlderRegistry", "Published", "await_erasure", "publish", "publish_changes"]

LOCK, LAST = "publishing", "published.head"
BUSY_S, AGAIN_S = 60.0, 0.1
PASSES = 4
"""The most attempts: a message still missing after these will not stay next time either."""


class RosterBroker(Reads, Protocol):
    """The part of `ostiary.fleet.broker.session.Broker` that publishing needs."""

    def publish(self, messages: Iterable[Retained], told: Callable[[int], None] = ...) -> int: ...


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to make the broker equal to the registry.

    `missing` counts records that the broker did not have, `changed` those that differed, `cleared`
    topics that were removed. `everything` means that the whole roster was read back and compared.
    `took_over` is the number above which all revisions were raised.
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
    """The roster at the broker was not published from this registry."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}: this registry is not the newest, perhaps restored from a backup",
            "publish the newest registry; or let `ostiary-fleet publish` replace the roster with"
            " this one, and lose the changes that this one lacks",
            option="take_over",
        )


class ForeignRoster(OlderRegistry):
    """The roster at the broker was sealed with other keys."""

    def __init__(self) -> None:
        FleetError.__init__(
            self,
            "the roster at the broker was signed by another operator, or encrypted with another"
            " site's key",
            "check host and site in fleet.toml; after a change of keys, replace the roster with"
            " `ostiary-fleet publish`",
            option="take_over",
        )


def untold(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


Connect = Callable[[MqttSection], contextlib.AbstractContextManager[RosterBroker]]


def publish(
    fleet: Fleet,
    take_over: bool = False,
    told: Told = untold,
    wall: Callable[[], float] = time.time,
    connect: Connect = Broker,
) -> Published:
    """Read everything back, publish what is missing or wrong, clear what does not belong.

    Raises OlderRegistry, a FleetError, if devices may hold a newer roster or one of other keys;
    with `take_over`, every record is numbered anew above all numbers seen. Raises BrokerError.
    """
    with _alone(fleet), connect(fleet.mqtt()) as broker:
        return _Publisher(fleet, broker, told, wall, take_over).everything()


def publish_changes(
    fleet: Fleet,
    told: Told = untold,
    wall: Callable[[], float] = time.time,
    connect: Connect = Broker,
) -> Published:
    """Publish the changes since the last run; everything if the broker lost what that run sent.

    Raises the errors of `publish`.
    """
    with _alone(fleet), connect(fleet.mqtt()) as broker:
        publisher = _Publisher(fleet, broker, told, wall, take_over=False)
        return publisher.changes() or publisher.everything()


class _Publisher:
    def __init__(
        self,
        fleet: Fleet,
        broker: RosterBroker,
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
        """Publish only the changes; None if everything must be compared."""
        registry = self._registry
        with registry.snapshot():
            sequence, last = registry.roster.sequence, _read_last(self._last)
            try:
                changed = send_changes(registry, self._voice, self._broker, last, self._wall())
            except NotOurs:
                return None
            subjects = sum(s.count for s in registry.roster.head(0).sums)
        if changed.head is not None:
            self._keep(changed.head)
        registry.set_published(sequence)
        return Published(
            sequence=sequence, subjects=subjects, changed=changed.records,
            indexes=changed.indexes, cleared=changed.cleared, everything=False,
        )  # fmt: skip

    def everything(self) -> Published:
        """Compare everything and publish the differences, until a comparison finds none."""
        if self._take_over:
            self._number_above(claimed(self._broker, self._site, self._registry.roster.sequence))
        first: Found | None = None
        for _ in range(PASSES):
            with self._registry.snapshot():
                number = self._registry.roster.sequence
                found = survey(
                    self._registry.roster, self._voice, self._broker, self._told, self._sent
                )
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
            "the broker accepted everything, but does not give it back unchanged",
            "check that the operator may read the roster, that the broker retains messages, and"
            " that nobody else writes the roster",
        )

    def _ahead(self, number: int) -> str:
        """Why this registry cannot be the newest; empty if it can. Used if the broker has no
        roster: a door of the fleet may still hold a newer one."""
        said = read_known(
            self._broker, self._site, self._registry.devices.provisioned(), ["roster"]
        )
        attempted = self._registry.roster.attempted
        held = highest(said, number)
        return ahead(held, attempted, number) if held > attempted else ""

    def _number_above(self, number: int) -> None:
        if number >= self._registry.roster.sequence:
            self._took_over = number
            self._registry.raise_sequence(number, self._wall())
            self._sent.clear()

    def _send(self, found: Found) -> None:
        registry, voice = self._registry, self._voice
        head = registry.roster.head(self._wall())
        registry.attempt(head.sequence)
        # Send tombstones of erased people first: online devices act on them at once.
        self._publish(
            "erasing", (voice.record(Record(s, head.sequence, gone=True)) for s in found.erased),
            len(found.erased),
        )  # fmt: skip
        entries = registry.roster.entries()
        wrong = sorted([*found.missing, *found.changed], key=lambda subject: entries[subject])
        self._publish(
            "publishing", (voice.record(r) for r in registry.roster.records(wrong)), len(wrong)
        )
        indexes = (voice.index(registry.roster.index(name)) for name in found.indexes)
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
        """Store the broker's head, so that the next run can publish only changes."""
        write_atomically(self._last, encode(head))

    def _done(self, sequence: int, first: Found) -> Published:
        self._registry.set_published(sequence)
        return Published(
            sequence=sequence,
            subjects=len(self._registry.roster.entries()),
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
    """Let one process publish at a time: two could put older indexes over newer ones."""
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
