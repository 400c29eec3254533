"""The status of every device, and whether the device holds the registry's roster."""

from __future__ import annotations

import msgspec

from ostiary.edge.roster.record import EMPTY, SHARDS, total
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.doors.devices import ONLINE, Said, read_devices
from ostiary.fleet.doors.receipts import settle
from ostiary.fleet.site.fleet import Fleet


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `status` is `online`, `offline`, `lost` or `unseen`.

    `current` means that the device holds the whole roster and reports the registry's digest. `lag`
    counts the changes that the device lacks; if it is below zero, its roster is newer than this
    registry.
    """

    device: str
    provisioned: bool
    status: str
    current: bool
    seen_at: str | None = None
    sequence: int | None = None
    lag: int | None = None
    digest_equal: bool = False
    missing: int = 0
    encoder: str = ""
    subjects: int = 0
    usable: int = 0
    coverage: dict[str, int] = {}
    camera: str = ""

    @property
    def online(self) -> bool:
        """Whether the device is connected, as far as the broker knows."""
        return self.status == ONLINE


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The registry, and every device that is provisioned or has ever reported."""

    site: str
    sequence: int
    published: int
    digest: str
    subjects: int
    coverage: dict[str, int]
    pending_erasures: list[int]
    devices: list[DeviceStatus]

    @property
    def behind(self) -> list[str]:
        """The devices without the registry's roster, among those provisioned or online.

        Old messages of a removed door do not count.
        """
        return [d.device for d in self.devices if not d.current and (d.provisioned or d.online)]


def status(fleet: Fleet) -> FleetStatus:
    """Read every device's retained messages at the broker. Raises BrokerError."""
    registry, site = fleet.registry(), fleet.settings.site
    with registry.snapshot():
        sequence = registry.roster.sequence
        sums = registry.roster.head(0).sums if sequence else (EMPTY,) * SHARDS
        coverage, known = registry.people.coverage(), registry.devices.provisioned()
        subjects = sum(not person.gone for person in registry.people.all())
    with Broker(fleet.mqtt()) as broker:
        said = read_devices(broker, site, known)
    # Settle now: the last confirmation may have come while no command waited for it.
    settle(registry, said)
    digest = total(sums)
    return FleetStatus(
        site=site,
        sequence=sequence,
        published=registry.roster.published,
        digest=digest,
        subjects=subjects,
        coverage=coverage,
        pending_erasures=registry.devices.pending_erasures(),
        devices=[judge(d, said[d], sequence, digest, known) for d in sorted(said)],
    )


def judge(device: str, said: Said, sequence: int, digest: str, known: list[str]) -> DeviceStatus:
    """Compare a device's messages with the registry's sequence and digest."""
    state, roster, telemetry = said.state, said.roster, said.telemetry
    seen = [m.at for m in (state, roster, telemetry) if m is not None and m.at]
    common = DeviceStatus(
        device=device,
        provisioned=device in known,
        status=state.status if state is not None else "unseen",
        current=False,
        seen_at=max(seen, default=None),
        camera=state.camera if state is not None else "",
    )
    if roster is None:
        return common
    equal = roster.digest == digest
    return msgspec.structs.replace(
        common,
        current=roster.complete and equal and roster.sequence == sequence,
        sequence=roster.sequence,
        lag=sequence - roster.sequence,
        digest_equal=equal,
        missing=roster.missing,
        encoder=roster.encoder,
        subjects=roster.subjects,
        usable=roster.usable,
        coverage=roster.coverage,
    )
