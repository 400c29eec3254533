"""Wait until every device has said that it holds a roster, and so forgot who was erased."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ostiary.edge.roster.record import total
from ostiary.edge.wire import RosterMessage
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.doors.devices import Said, every, read_devices, read_known, sender
from ostiary.fleet.registry.writer import Registry
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Receipts:
    """Who was asked, and who of them has not confirmed, by id. Where nobody was asked nobody has
    confirmed anything: no device is known."""

    asked: list[str]
    waiting: list[str]


def await_erasure(
    fleet: Fleet,
    sequence: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Those of `receipts` who have not confirmed this sequence in time."""
    return receipts(fleet, sequence, timeout_s, clock, told).waiting


def receipts(
    fleet: Fleet,
    sequence: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Receipts:
    """Ask every device for its word that it holds this sequence or a later one, until all have
    given it or the time is over. Erasures that all have confirmed are settled. Raises BrokerError.

    Asked is who was provisioned, and who has ever told this broker of a roster and was not taken
    from the fleet: a door that was installed by hand has people to forget, too.
    """
    registry, site = fleet.registry(), fleet.settings.site
    until = clock() + timeout_s
    with Broker(fleet.mqtt()) as broker:
        # First look, then listen, then look again: reading ends with an unsubscription, which
        # would end the listening as well. What is said between the two is heard twice, not missed.
        said = read_devices(broker, site, registry.devices.provisioned(), ["roster"])
        asked = holding(registry, said)
        broker.listen([every(site, "roster")], replay=False)
        said |= read_known(broker, site, asked, ["roster"])
        while True:
            waiting = _waiting(registry, said, sequence)
            asked = holding(registry, said)
            told(len(asked) - len(waiting), len(asked))
            if not waiting or (left := until - clock()) <= 0:
                break
            message = broker.receive(left)
            found = sender(message.topic, site) if message is not None else None
            if message is not None and found is not None:
                said.setdefault(found[0], Said()).hear(found[1], message.payload)
    settle(registry, said)
    return Receipts(asked, waiting)


def holding(registry: Registry, said: Mapping[str, Said]) -> list[str]:
    """The devices that may hold people, by id."""
    spoken = {device for device, one in said.items() if one.roster is not None}
    return sorted({*registry.devices.provisioned(), *(spoken - set(registry.devices.removed()))})


def settle(registry: Registry, said: Mapping[str, Said]) -> None:
    """Strike off the erasures that every device has confirmed."""
    asked = holding(registry, said)
    for sequence in registry.devices.pending_erasures():
        # With nobody to ask, that it is published is all there is to wait for.
        if (
            not _waiting(registry, said, sequence)
            if asked
            else sequence <= registry.roster.published
        ):
            registry.settle_erasure(sequence)


def _waiting(registry: Registry, said: Mapping[str, Said], sequence: int) -> list[str]:
    with registry.snapshot():
        newest = registry.roster.sequence
        digest = total(registry.roster.head(0).sums) if newest else ""
    return [
        device
        for device in holding(registry, said)
        if device not in said or not _confirms(said[device].roster, sequence, newest, digest)
    ]


def _confirms(roster: RosterMessage | None, sequence: int, newest: int, digest: str) -> bool:
    """Whether a device's word counts: what is beyond the registry, or of the same number and yet
    another roster, is not about what was published from here."""
    if roster is None or not roster.complete or not sequence <= roster.sequence <= newest:
        return False
    return roster.sequence < newest or roster.digest == digest
