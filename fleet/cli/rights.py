"""`ostiary-fleet revoke`, `suspend`, `resume` and `erase`: end a person's access."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from ostiary.edge.cli.console import out, print_json
from ostiary.fleet.cli.common import (
    ID,
    NOT_DONE,
    Folder,
    Json,
    NoPublish,
    Subject,
    code,
    open_fleet,
    publisher,
    say,
)
from ostiary.fleet.desk import erase as erasing
from ostiary.fleet.desk import rights
from ostiary.fleet.desk.delivery import Publish, Say
from ostiary.fleet.desk.erase import ErasureReport
from ostiary.fleet.desk.rights import PersonChange
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet

SHOWN = 10
Edit = Callable[[Fleet, str, float, Say, Publish | None], PersonChange]


def register(app: typer.Typer) -> None:
    for command in (revoke, suspend, resume, erase):
        app.command()(command)


def revoke(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """End a person's access for good: their template is deleted here and at every door.

    Their id, name and rights stay in the registry until `erase`. `enroll --again` enrolls the
    person again.

    Example: `ostiary-fleet revoke alice`
    """
    _edit(rights.revoke, "revoked", subject, fleet, no_publish, as_json=json)


def suspend(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """Bar a person from every door until `resume`; doors still recognise and report them.

    Example: `ostiary-fleet suspend alice`
    """
    _edit(rights.suspend, "suspended", subject, fleet, no_publish, as_json=json)


def resume(
    subject: Subject, no_publish: NoPublish = False, fleet: Folder = None, json: Json = False
) -> None:
    """End a person's suspension.

    Example: `ostiary-fleet resume alice`
    """
    _edit(rights.resume, "resumed", subject, fleet, no_publish, as_json=json)


def erase(
    subject: Annotated[str | None, typer.Argument(help=f"The person's subject id: {ID}.")] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Erase nobody; wait for earlier erasures.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for the devices.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before erasing.")] = False,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Remove every trace of a person here, at the broker and on each device.

    Then wait until each device has confirmed it. Exit code 0: all devices have confirmed, 1: some
    have not. They will when they are back online; --pending then asks them again.

    Example: `ostiary-fleet erase alice --yes`
    """
    with open_fleet(fleet) as home:
        if pending == (subject is not None):
            raise FleetError("who is to be erased?", "ostiary-fleet erase SUBJECT, or --pending")
        publish = publisher(no_publish)
        if subject is None:
            report = erasing.confirm_erasures(home, timeout, say, publish)
        else:
            erasing.check_erasable(home, subject)
            if not yes and not typer.confirm(f"Erase {subject}? This cannot be undone", err=True):
                raise FleetError("nothing was erased", "to erase without this question: --yes")
            report = erasing.erase(home, subject, time.time(), timeout, say, publish)
    if json:
        print_json(
            {
                "sequence": report.sequence,
                "published": report.delivery.published,
                "waiting_for": report.waiting,
            }
        )
    else:
        _show(report)
    unfinished = bool(report.unconfirmed) and report.delivery.wanted
    raise typer.Exit(NOT_DONE if unfinished else code(report.delivery))


def _show(report: ErasureReport) -> None:
    published, waiting = report.delivery.published, report.waiting
    out.print("erased here" + (" and at the broker" if published else ""))
    if not published and not waiting:
        out.print("no device has been told yet")
    elif not waiting and report.asked:
        out.print("every device has confirmed it")
    elif not waiting:
        out.print("no device is known, so none was asked to confirm it")
    else:
        more = f" and {len(waiting) - SHOWN} more" if len(waiting) > SHOWN else ""
        out.print(f"not confirmed yet by {', '.join(waiting[:SHOWN])}{more}")


def _edit(
    edit: Edit, what: str, subject: str, fleet: Folder, no_publish: bool, as_json: bool
) -> None:
    with open_fleet(fleet) as home:
        done = edit(home, subject, time.time(), say, publisher(no_publish))
    if as_json:
        published = done.delivery.published
        print_json({"subject": subject, "revision": done.revision, "published": published})
    else:
        out.print(f"{what} {subject}" if done.changed else f"{subject} is already {what}")
    raise typer.Exit(NOT_DONE if done.photos_kept else code(done.delivery))
