"""Waits until every device has confirmed a roster, and so has deleted the erased people."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ostiary.edge.roster.record import total
from ostiary.edge.wire import RosterMessage
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.doors.devices import Said, every, read_devices, read_known, sender
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Receipts:
    """The devices that were asked, and the ones that have not confirmed, by id.

    If `asked` is empty, no device is known, and nothing is confirmed.
    """

    asked: list[str]
    waiting: list[str]


def await_erasure(
    fleet: Fleet,
    sequence: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """The devices that have not confirmed this sequence in time; see `receipts`."""
    return receipts(fleet, sequence, timeout_s, clock, told).waiting


def receipts(
    fleet: Fleet,
    sequence: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Receipts:
    """Wait until every device reports this sequence or a later one, or until the time is over.
    Erasures that all devices have confirmed are settled. Raises BrokerError.

    "Every device" means all that were provisioned, or that ever reported a roster to this broker,
    except those removed from the fleet: a door installed by hand must delete people too.
    """
    registry, site = fleet.registry(), fleet.settings.site
    until = clock() + timeout_s
    with Broker(fleet.mqtt()) as broker:
        # Read, then listen, then read again: the first reading ends with an unsubscription, which
        # would end the listening too. A message in between may be read twice, but is never missed.
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
    """The ids of the devices that may hold people."""
    spoken = {device for device, one in said.items() if one.roster is not None}
    return sorted({*registry.devices.provisioned(), *(spoken - set(registry.devices.removed()))})


def settle(registry: Registry, said: Mapping[str, Said]) -> None:
    """Settle the erasures that every device has confirmed."""
    asked = holding(registry, said)
    for sequence in registry.devices.pending_erasures():
        # Without any device, an erasure is settled once it is published.
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
    """Whether a device's message confirms a sequence.

    If its sequence is beyond the registry's, or equal with another digest, its roster was not
    published from this registry.
    """
    if roster is None or not roster.complete or not sequence <= roster.sequence <= newest:
        return False
    return roster.sequence < newest or roster.digest == digest
