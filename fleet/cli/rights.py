"""`ostiary-fleet revoke`, `suspend`, `resume` and `erase`: who is let in no longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.errors import OstiaryError
from ostiary.fleet.cli.common import (
    NOT_DONE,
    Folder,
    Json,
    NoPublish,
    Subject,
    checked,
    forget_photos,
    open_fleet,
    publish_now,
    warn,
)
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.people import unknown
from ostiary.fleet.registry.writer import Registry
from ostiary.fleet.site.fleet import Fleet

SHOWN = 10


def register(app: typer.Typer) -> None:
    for command in (revoke, suspend, resume, erase):
        app.command()(command)


def revoke(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """Let somebody in nowhere any more: every door forgets their template, and so does the fleet.

    The id stays known as revoked until it is erased. `enroll --again` undoes it.

    Example: `ostiary-fleet revoke alice`
    """

    _edit(
        subject,
        "revoked",
        lambda registry, now_s: registry.revoke(subject, now_s),
        fleet,
        no_publish,
        as_json=json,
        forget=True,
    )


def suspend(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """Let somebody in nowhere for a while; doors still know who it is and say so.

    Example: `ostiary-fleet suspend alice`
    """
    _edit(
        subject,
        "suspended",
        lambda registry, now_s: registry.suspend(subject, now_s),
        fleet,
        no_publish,
        as_json=json,
    )


def resume(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """End a suspension.

    Example: `ostiary-fleet resume alice`
    """
    _edit(
        subject,
        "resumed",
        lambda registry, now_s: registry.resume(subject, now_s),
        fleet,
        no_publish,
        as_json=json,
    )


def erase(
    subject: Annotated[str | None, typer.Argument(help="An opaque id: a-z, 0-9 and -.")] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Only wait for earlier erasures.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for every device.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Remove every trace of somebody here, at the broker and on each device, and wait until each
    device has confirmed it.

    Exit code 0: all confirmed, 1: some have not; they will when they are back, and --pending then
    asks again.

    Example: `ostiary-fleet erase alice --yes`
    """
    with open_fleet(fleet) as home:
        if pending == (subject is not None):
            raise FleetError("who is to be erased?", "ostiary-fleet erase SUBJECT, or --pending")
        sequence = (
            home.registry().roster.sequence if subject is None else _erase(home, subject, yes)
        )
        told = publish_now(home, no_publish)
        asked, waiting = _wait(home, timeout) if told.published else _nobody_asked(home)
        unconfirmed = home.registry().devices.pending_erasures()
    if json:
        print_json({"sequence": sequence, "published": told.published, "waiting_for": waiting})
    else:
        _say_erased(told.published, asked, waiting)
    raise typer.Exit(NOT_DONE if unconfirmed and told.wanted else told.code)


def _erase(home: Fleet, subject: str, yes: bool) -> int:
    registry = home.registry()
    if registry.people.get(checked(subject)) is None:
        if Album(home).forget(subject):
            raise FleetError(f"{subject!r} is not enrolled; photos that were left are removed now")
        raise unknown(subject)
    if not yes and not typer.confirm(f"Erase {subject}? This can not be undone", err=True):
        raise FleetError("nothing was erased", "--yes does not ask")
    # Photos first: where this ends in its middle the person is still there to be erased.
    Album(home).forget(subject)
    sequence = registry.erase(subject, time.time())
    if not registry.wiped:
        warn("not wiped yet", "copies may be left in registry.db", "a later erasure wipes them")
    # Once more: somebody may have been enrolling them meanwhile.
    forget_photos(home, subject)
    return sequence


def _wait(home: Fleet, timeout_s: float) -> tuple[list[str], list[str]]:
    """The devices that were asked for every erasure, and who of them did not confirm in time."""
    from ostiary.fleet.doors.receipts import receipts

    pending = home.registry().devices.pending_erasures()
    if not pending:
        return home.registry().devices.provisioned(), []
    try:
        found = receipts(home, pending[-1], timeout_s)
    except OstiaryError as error:
        err.print(escape(f"can not ask the devices: {error}"))
        return _nobody_asked(home)
    return found.asked, found.waiting


def _nobody_asked(home: Fleet) -> tuple[list[str], list[str]]:
    devices = home.registry().devices.provisioned()
    return devices, devices


def _say_erased(published: bool, asked: list[str], waiting: list[str]) -> None:
    out.print("erased here" + (" and at the broker" if published else ""))
    if not published and not waiting:
        out.print("no device was told yet")
        return
    if not waiting:
        confirmed = "every device has confirmed it"
        out.print(confirmed if asked else "no device is known: nobody was asked to confirm it")
        return
    more = f" and {len(waiting) - SHOWN} more" if len(waiting) > SHOWN else ""
    out.print(f"not confirmed yet by {', '.join(waiting[:SHOWN])}{more}")


def _edit(
    subject: str,
    what: str,
    edit: Callable[[Registry, float], int],
    fleet: Folder,
    no_publish: bool,
    as_json: bool,
    forget: bool = False,
) -> None:
    """One edit of one person, published; with `forget` their photos go after that."""
    with open_fleet(fleet) as home:
        registry = home.registry()
        before = registry.roster.sequence
        checked(subject)
        revision = edit(registry, time.time())
        forgotten = True
        try:
            told = publish_now(home, no_publish)
        finally:
            # After the doors know: a photo that can not be removed must let nobody in.
            if forget:
                forgotten = forget_photos(home, subject)
    if as_json:
        print_json({"subject": subject, "revision": revision, "published": told.published})
    else:
        out.print(f"{what} {subject}" if revision > before else f"{subject} is {what} already")
    raise typer.Exit(told.code if forgotten else NOT_DONE)
