"""`ostiary-fleet reembed`: templates for a new encoder, so that no door is ever without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.fleet.cli.common import (
    NOT_DONE,
    Folder,
    Json,
    NoPublish,
    Publishing,
    open_fleet,
    publish_now,
)
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.reembed import Reembedding, ReembedReport, chosen_encoder, retire
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet

SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command()(reembed)


class _Following:
    """Publishes after each chunk; a broker that once failed is not asked again by this run."""

    def __init__(self, fleet: Fleet, no_publish: bool) -> None:
        self._fleet, self._no_publish = fleet, no_publish
        self.result: Publishing | None = None

    def __call__(self) -> None:
        if self.result is None or self.result.published:
            self.result = publish_now(self._fleet, self._no_publish)

    @property
    def code(self) -> int:
        return self.result.code if self.result is not None else 0


def reembed(
    bundle: Annotated[Path, typer.Option("--bundle", help="The new bundle's directory.")],
    fleet: Folder = None,
    retire_old: Annotated[
        str | None,
        typer.Option(
            "--retire-old",
            metavar="ENCODER",
            help="Then remove the templates of this encoder (or its first digits): refused until"
            " every device has changed over.",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    no_publish: NoPublish = False,
    json: Json = False,
) -> None:
    """Make templates for the encoder of a new bundle from the kept photos of everybody.

    Run it again at any time: only who has no template yet is looked at. Devices that have the
    bundle as `next` change over when everybody they know has one. Exit code 0: everybody has,
    1: some have not, and who and why is said; 2: bad input.

    Examples: `ostiary-fleet reembed --bundle bundle-2`,
    `ostiary-fleet reembed --bundle bundle-2 --retire-old 3f9ac1d2`
    """
    with open_fleet(fleet) as opened:
        new = bundles.load(bundle)
        following = _Following(opened, no_publish)
        old = _to_retire(opened, new, retire_old)
        run = Reembedding(opened.registry(), Album(opened), new, time.time, following)
        bar, done = progress("embedding")
        with bar:
            report = run.run(done, backend)
        removed = _retire(opened, new, old, following) if old else 0
        enrolling, registry = _encoder(opened), opened.registry()
        published = registry.roster.published == registry.roster.sequence
    if json:
        found = {"retired": removed, "complete": report.complete}
        print_json({"report": report, **found, "published": published})
    else:
        _show(report, removed, old)
        if enrolling != report.encoder:
            err.print(
                escape(
                    f"fleet.toml still enrolls with {(enrolling or 'an unreadable bundle')[:20]}:"
                )
                + " name the new bundle there once the doors have changed over; until then run"
                " this again after each enrollment"
            )
    raise typer.Exit(following.code if report.complete else NOT_DONE)


def _to_retire(fleet: Fleet, new: Bundle, given: str | None) -> str | None:
    """The encoder to retire, checked before hours of work."""
    if given is None:
        return None
    if _encoder(fleet) != new.encoder_id:
        raise FleetError(
            "fleet.toml enrolls with another bundle than the new one",
            "name the new bundle there first, or the next enrollment brings the old encoder back",
        )
    return chosen_encoder(fleet.registry(), given)


def _encoder(fleet: Fleet) -> str | None:
    """The encoder that people are enrolled with."""
    try:
        return bundles.read(fleet.settings.bundle).encoder_id
    except BundleError:
        return None


def _retire(fleet: Fleet, new: Bundle, old: str, following: _Following) -> int:
    devices = encoders_in_use(fleet)
    bar, done = progress("retiring")
    with bar:
        return retire(fleet.registry(), old, new.encoder_id, devices, time.time, following, done)


def encoders_in_use(fleet: Fleet) -> dict[str, str | None]:
    """The encoder of each device of the fleet, and of any that is online, as it said last."""
    from ostiary.fleet.broker.session import Broker
    from ostiary.fleet.doors.devices import read_devices

    with Broker(fleet.mqtt()) as broker:
        known = fleet.registry().devices.provisioned()
        said = read_devices(broker, fleet.settings.site, known, ["roster", "state"])
    return {
        device: one.roster.encoder if one.roster else None
        for device, one in said.items()
        if device in known or one.online
    }


def _show(report: ReembedReport, removed: int, old: str | None) -> None:
    colour = "green" if report.complete else "yellow"
    out.print(
        f"[{colour}]{report.covered} of {report.people}[/] have a template of"
        f" {report.encoder[:12]}; {report.added} new"
    )
    if old is not None:
        out.print(f"{removed} templates of {old[:12]} removed")
    if report.without_photos:
        err.print(f"{len(report.without_photos)} have no kept photos; enroll them again:")
        _list(list(report.without_photos))
    if report.refused:
        err.print(f"{len(report.refused)} refused:")
        _list([f"{subject}: {why}" for subject, why in report.refused.items()])


def _list(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        err.print(escape(f"  {line}"))
    if len(lines) > SHOWN:
        err.print(f"  and {len(lines) - SHOWN} more (--json names all)")
