"""The status of every device, and whether the device holds the registry's roster."""

from __future__ import annotations

import msgspec

from ostiary.edge.roster.record import EMPTY, SHARDS, total
from ostiary.edge.wire import StateMessage
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
    expected_fnir: float | None = None
    """The share of the enrolled that tau is expected to refuse; None if no tau was reported."""
    tau_group: str = ""
    """The group of people whose curve sets tau; empty for everybody."""
    warnings: tuple[str, ...] = ()
    """What is wrong with the bundle that the door uses, and with its camera."""
    learned: int = 0
    """How many templates have learned at this door."""
    least_face_px: float = 0.0
    """From how many pixels between the eyes its camera shows a face that is found; 0 if unknown."""

    @property
    def online(self) -> bool:
        """Whether the device is connected, as far as the broker knows."""
        return self.status == ONLINE


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The registry, and every device that is provisioned or has ever reported.

    `one_photo` counts the people with a template of a single photo, and `photos_unknown` those with
    a template that was made before photos were counted.
    """

    site: str
    sequence: int
    published: int
    digest: str
    subjects: int
    one_photo: int
    photos_unknown: int
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
        people = [person for person in registry.people.all() if not person.gone]
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
        subjects=len(people),
        one_photo=sum(person.one_photo for person in people),
        photos_unknown=sum(person.uncounted for person in people),
        coverage=coverage,
        pending_erasures=registry.devices.pending_erasures(),
        devices=[judge(d, said[d], sequence, digest, known) for d in sorted(said)],
    )


UNSEEN = StateMessage(status="unseen", session=0)
"""In place of the state of a device that has never sent one."""


def _warnings(state: StateMessage) -> tuple[str, ...]:
    found = list(state.warnings)
    if state.camera_turn:
        degrees = 360 - state.camera_turn
        turned = f"the camera hangs turned by {degrees} degrees, and nobody is let in"
        found.append(f"{turned}: see its event camera-turned")
    found += [
        f"the camera is {fault}: see its event camera-{fault}" for fault in state.camera_faults
    ]
    return tuple(found)


def judge(device: str, said: Said, sequence: int, digest: str, known: list[str]) -> DeviceStatus:
    """Compare a device's messages with the registry's sequence and digest."""
    roster = said.roster
    seen = [m.at for m in (said.state, roster, said.telemetry) if m is not None and m.at]
    state = said.state or UNSEEN
    common = DeviceStatus(
        device=device,
        provisioned=device in known,
        status=state.status,
        current=False,
        seen_at=max(seen, default=None),
        camera=state.camera,
        expected_fnir=state.expected_fnir,
        tau_group=state.tau_group,
        warnings=_warnings(state),
        learned=state.learned,
        least_face_px=state.least_face_px,
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
