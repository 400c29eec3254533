"""Make templates for the encoder of a new bundle, and retire the old encoder's templates."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.desk.delivery import Delivery, Progress, Publish, Say, publish_change
from ostiary.fleet.doors.devices import read_devices
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.reembed import Reembedding, ReembedReport, chosen_encoder, retire
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Reembedded:
    """The templates that a run made, and how many of the encoder `retired` it removed.

    `enrolling` is the encoder that fleet.toml enrolls with; None if its bundle cannot be read.
    `published` says whether the broker has everything in the registry, and `failed` that publishing
    was wanted and failed.
    """

    report: ReembedReport
    retired: str | None
    removed: int
    enrolling: str | None
    published: bool
    failed: bool


def reembed(
    fleet: Fleet,
    bundle: Bundle,
    retire_old: str | None,
    progress: Progress,
    say: Say,
    publish: Publish | None = publish_changes,
    backend: str = "auto",
) -> Reembedded:
    """Make a template from kept photos for everybody who has none of the bundle's encoder.

    Publishes after every chunk of people. `retire_old` is an encoder, or the first digits of its
    id, whose templates are removed at the end. Raises FleetError before any work if fleet.toml does
    not enroll with the new bundle, and at the end if a device or a person needs the old one.
    """
    registry, following = fleet.registry(), _Following(fleet, say, publish)
    enrolling = enrolling_encoder(fleet)
    old = None
    if retire_old is not None:
        if enrolling != bundle.encoder_id:
            raise FleetError(
                "fleet.toml enrolls with another bundle than the new one",
                "name the new bundle there first, or the next enrollment brings the old encoder"
                " back",
            )
        old = chosen_encoder(registry, retire_old)
    run = Reembedding(registry, Album(fleet), bundle, time.time, following)
    report = run.run(lambda done, total: progress("embedding", done, total), backend)
    removed = 0
    if old is not None:
        removed = retire(
            registry,
            old,
            bundle.encoder_id,
            encoders_in_use(fleet),
            time.time,
            following,
            lambda done, total: progress("retiring", done, total),
        )
    published = registry.roster.published == registry.roster.sequence
    return Reembedded(report, old, removed, enrolling, published, following.failed)


def enrolling_encoder(fleet: Fleet) -> str | None:
    """The encoder that people are enrolled with; None if its bundle cannot be read."""
    try:
        return bundles.read(fleet.settings.bundle).encoder_id
    except BundleError:
        return None


def encoders_in_use(fleet: Fleet) -> dict[str, str | None]:
    """The encoder of each device that belongs to the fleet or is online; None if the device never
    reported one.

    Raises BrokerError.
    """
    with Broker(fleet.mqtt()) as broker:
        known = fleet.registry().devices.provisioned()
        said = read_devices(broker, fleet.settings.site, known, ["roster", "state"])
    return {
        device: one.roster.encoder if one.roster else None
        for device, one in said.items()
        if device in known or one.online
    }


class _Following:
    """Publishes after each chunk; after the broker's first failure, no more in this run."""

    def __init__(self, fleet: Fleet, say: Say, publish: Publish | None) -> None:
        self._fleet, self._say, self._publish = fleet, say, publish
        self._last: Delivery | None = None

    def __call__(self) -> None:
        if self._last is None or self._last.published:
            self._last = publish_change(self._fleet, self._say, self._publish)

    @property
    def failed(self) -> bool:
        return self._last is not None and self._last.failed
