"""Wait until every device has said that it holds a roster, and so forgot who was erased."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fleet.broker import Broker
from fleet.devices import Said, every, read_known, sender
from fleet.home import Fleet
from fleet.registry import Registry


def await_erasure(
    fleet: Fleet,
    sequence: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """The devices of the registry that have not confirmed this sequence in time, by id. Erasures
    that all have confirmed are settled. Raises BrokerError.

    A device confirms with its retained roster message: complete, at this sequence or a later one.
    """
    registry, site = fleet.registry(), fleet.settings.site
    devices = registry.devices()
    until = clock() + timeout_s
    waiting = set(devices)
    if waiting:
        with Broker(fleet.mqtt()) as broker:
            # First listen, then look: what is said between the two is heard twice, not missed.
            broker.listen([every(site, "roster")], replay=False)
            said = read_known(broker, site, devices, ["roster"])
            while True:
                for device in list(waiting):
                    roster = said[device].roster
                    if roster is not None and roster.complete and roster.sequence >= sequence:
                        waiting.discard(device)
                told(len(devices) - len(waiting), len(devices))
                if not waiting or (left := until - clock()) <= 0:
                    break
                message = broker.receive(left)
                found = sender(message.topic, site) if message is not None else None
                if message is not None and found is not None and found[0] in said:
                    said[found[0]].hear(found[1], message.payload)
            settle(registry, said)
    else:
        settle(registry, {})
    return sorted(waiting)


def settle(registry: Registry, said: Mapping[str, Said]) -> None:
    """Strike off the erasures that every device of the registry has confirmed."""
    rosters = [said[device].roster if device in said else None for device in registry.devices()]
    held = [r.sequence if r is not None and r.complete else 0 for r in rosters]
    for sequence in registry.pending_erasures():
        if sequence <= min(held, default=registry.published):
            registry.settle_erasure(sequence)
