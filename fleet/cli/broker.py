"""`ostiary-fleet publish` and `status`: send the roster, and see which device holds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.core.scores.cost import BEARABLE_FNIR, Cost
from ostiary.edge.errors import BundleError
from ostiary.fleet.cli.common import NOT_DONE, Folder, Json, open_fleet, warn
from ostiary.fleet.desk.cost import expected_cost
from ostiary.fleet.doors.status import DeviceStatus, FleetStatus
from ostiary.fleet.publishing.publish import Published
from ostiary.fleet.site.fleet import Fleet
from ostiary.fleet.terminal import plain

COLOURS = {"online": "green", "offline": "yellow", "lost": "red", "unseen": "dim"}


def register(app: typer.Typer) -> None:
    for command in (publish, status):
        app.command()(command)


def publish(
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Publish even if devices hold a newer roster; this registry wins."
        ),
    ] = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Make the broker's roster equal to the registry, whatever the broker has lost; safe to repeat.

    Everything at the broker is read back and compared: missing and wrong records are sent, and
    topics that do not belong there are removed. Each run signs a new head. If devices have
    `stale_after_s`, run it from a timer: they open to nobody once their head is older than that.

    A registry that was restored from a backup is refused, because devices never go back to an older
    roster. --take-over gives all its records higher numbers than the devices hold.

    Afterwards it says what the number of people costs them: the share that doors are expected to
    refuse, by the curves of the bundle in fleet.toml and at its `fpir`.

    Example: `ostiary-fleet publish`
    """
    from ostiary.fleet.publishing.publish import publish as make_equal

    bar, move = progress("reading back")

    def told(stage: str, done: int, total: int) -> None:
        bar.update(bar.task_ids[0], description=stage)
        move(done, total)

    with open_fleet(fleet) as home, bar:
        done = make_equal(home, take_over, told)
        cost = _cost(home)
    if json:
        return print_json({**_fields(done), "cost": cost})
    out.print(escape(_published(done)))
    if cost is not None:
        out.print(escape(cost.text()))


def _cost(fleet: Fleet) -> Cost | None:
    """What K costs; None if nobody is enrolled, or with a warning if the bundle cannot tell.

    Publishing needs no bundle, so a missing one is no error.
    """
    try:
        return expected_cost(fleet)
    except BundleError as error:
        warn("it is unknown what K costs", error.message, error.hint)
        return None


def _published(done: Published) -> str:
    what = "nothing was missing"
    if done.missing or done.changed or done.cleared or done.indexes:
        what = (
            f"sent {done.missing} records that the broker did not have;"
            f" {done.changed} replaced, {done.cleared} removed"
        )
    over = (
        f"; all records now have numbers above {done.took_over}"
        if done.took_over is not None
        else ""
    )
    return f"the broker has {done.subjects} subjects as of change {done.sequence}: {what}{over}"


def status(fleet: Folder = None, json: Json = False) -> None:
    """Show every device: whether it is online, and whether it holds the registry's roster.

    FNIR is the share of the enrolled that the device's tau is expected to refuse, by the curve of
    the bundle in use; the group whose curve sets tau is named behind it.

    Exit code 0: every device holds all of it, 1: a device lags behind or the newest changes are
    not published, 2: the broker cannot be asked.

    Example: `ostiary-fleet status`
    """
    from ostiary.fleet.doors.status import status as ask_all

    with open_fleet(fleet) as home:
        found = ask_all(home)
    if json:
        print_json({**_fields(found), "behind": found.behind})
    else:
        _show(found)
    raise typer.Exit(NOT_DONE if found.behind or found.published != found.sequence else 0)


def _fields(found: msgspec.Struct) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def _show(found: FleetStatus) -> None:
    out.print(escape(f"{found.site}: {found.subjects} people as of change {found.sequence}"))
    for encoder, count in sorted(found.coverage.items()):
        out.print(f"encoder {encoder[:12]}: {count} of {found.subjects} have a template")
    if found.one_photo:
        out.print(
            f"{found.one_photo} have a template of one photo only; a second one is worth more than"
            " any other improvement [dim](ostiary-fleet list --one-photo)[/]"
        )
    if found.photos_unknown:
        out.print(f"{found.photos_unknown} have a template of an unknown number of photos")
    if found.published != found.sequence:
        err.print(
            f"[bold yellow]not published:[/] the broker has changes up to {found.published}"
            " [dim](ostiary-fleet publish)[/]"
        )
    if found.pending_erasures:
        out.print(f"{len(found.pending_erasures)} erasures are not confirmed by every device yet")
    table = Table(
        "device", "status", "change", "lag", "roster", "usable", "encoder", "FNIR", "last message"
    )
    for device in found.devices:
        table.add_row(*_row(device))
    out.print(
        table if found.devices else "no device is known, and none has sent a message to this broker"
    )
    for warning, devices in _warned(found.devices).items():
        said = f"{plain(warning)} ({plain(', '.join(devices))})"
        err.print(f"[bold yellow]warning:[/] {escape(said)}")
    if any(device.lag is not None and device.lag < 0 for device in found.devices):
        err.print(
            "[bold yellow]a device has a newer roster than this registry:[/]"
            " was the registry restored from a backup?"
            " [dim](ostiary-fleet publish --take-over)[/]"
        )


def _warned(devices: Iterable[DeviceStatus]) -> dict[str, list[str]]:
    """The devices by what they say is wrong with the bundle in use."""
    found: dict[str, list[str]] = {}
    for device in devices:
        for warning in device.warnings:
            found.setdefault(warning, []).append(device.device)
    return found


def _row(device: DeviceStatus) -> tuple[str, ...]:
    name = device.device if device.provisioned else f"{device.device} (not provisioned)"
    is_there = f"[{COLOURS.get(device.status, 'red')}]{escape(plain(device.status))}[/]"
    seen = plain((device.seen_at or "-")[:19])
    if device.sequence is None:
        return name, is_there, "-", "-", "-", "-", "-", _fnir(device), escape(seen)
    digest = "[green]equal[/]" if device.digest_equal else f"differs, {device.missing} missing"
    lag = str(device.lag) if device.current else f"[yellow]{device.lag}[/]"
    return (
        name, is_there, str(device.sequence), lag, digest,
        f"{device.usable} of {device.subjects}", escape(plain(device.encoder[:12])),
        _fnir(device), escape(seen),
    )  # fmt: skip


def _fnir(device: DeviceStatus) -> str:
    """The expected FNIR, yellow if it is not bearable, and the group whose curve sets tau."""
    if device.expected_fnir is None:
        return "-"
    share = f"{device.expected_fnir:.1%}"
    group = f" ({escape(plain(device.tau_group))})" if device.tau_group else ""
    return (share if device.expected_fnir <= BEARABLE_FNIR else f"[yellow]{share}[/]") + group
