"""`ostiary-fleet watch`, `open` and `capture`: a door at this moment."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.errors import EnrollmentRefused
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.cli.common import (
    Folder,
    Json,
    NoPublish,
    Subject,
    checked,
    open_fleet,
    publish_now,
)
from ostiary.fleet.cli.people import besides, warn_besides
from ostiary.fleet.doors.watch import DoorMessage, Watch, line
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
EACH_S = 1.0
Device = Annotated[str, typer.Argument(help="The device's id.")]


def register(app: typer.Typer) -> None:
    for command in (watch, capture):
        app.command()(command)
    app.command("open")(open_)


def watch(
    device: Annotated[str | None, typer.Option("--device", help="Of this device only.")] = None,
    fleet: Folder = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document a line.")] = False,
) -> None:
    """Show what the doors decide and report, as it happens. Ctrl-C ends it.

    Names come from the registry; --json has ids only.

    Example: `ostiary-fleet watch --device north-door`
    """
    with open_fleet(fleet) as home:
        seen = Watch(home.settings.site, None if device is None else check_subject(device))
        wait_s, ever = FIRST_WAIT_S, False
        while True:
            try:
                with Broker(home.mqtt()) as broker:
                    # What is retained is each door's state: first how it is, then what happens.
                    broker.listen(seen.filters(), replay=True)
                    wait_s, ever = FIRST_WAIT_S, True
                    _follow(home, broker, seen, as_json=json)
            except BrokerError as error:
                if not ever:
                    raise
                err.print(f"[yellow]{escape(error.message)}[/]; trying again")
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _follow(home: Fleet, broker: Broker, watching: Watch, as_json: bool) -> None:
    while True:
        message = broker.receive(EACH_S)
        seen = watching.take(message) if message is not None else None
        if seen is None:
            continue
        if as_json:
            print_json(_document(seen))
        else:
            text, colour = line(seen, lambda subject: _name(home, subject))
            out.print(f"[{colour}]{escape(text)}[/]")


def _document(seen: DoorMessage) -> dict[str, object]:
    fields = msgspec.structs.asdict(seen.message)
    return {"device": seen.device, "kind": seen.kind, **fields}


def _name(home: Fleet, subject: str) -> str:
    person = home.registry().people.get(subject)
    return f"{person.name} ({subject})" if person is not None and person.name else subject


def open_(device: Device, fleet: Folder = None, json: Json = False) -> None:
    """Open a door once, from here. The device records it as any other decision.

    Example: `ostiary-fleet open north-door`
    """
    from ostiary.fleet.doors.command import open_door

    with open_fleet(fleet) as home:
        open_door(home, check_subject(device))
    if json:
        return print_json({"device": device, "opened": True})
    out.print(f"{device} opened")


def capture(
    device: Device,
    subject: Subject,
    name: Annotated[str | None, typer.Option("--name", help="For your eyes only.")] = None,
    groups: Annotated[str | None, typer.Option("--groups", help="Between commas.")] = None,
    valid_from: Annotated[str | None, typer.Option("--from", help="The first day.")] = None,
    valid_until: Annotated[str | None, typer.Option("--until", help="The last day.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="As in enroll.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also who was revoked.")] = False,
    force_look_alike: Annotated[
        bool, typer.Option("--force-look-alike", help="Also who looks like somebody enrolled.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=5, max=120, help="Seconds for the device to look.")
    ] = 60.0,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Enroll whoever stands at a door: the device gathers good frames and sends back a template.

    No photo leaves the device, so none is kept for `reembed`. The door decides nothing meanwhile.

    Example: `ostiary-fleet capture north-door alice --name "Alice Adams" --groups staff`
    """
    from ostiary.fleet.doors.command import capture as gather
    from ostiary.fleet.enrollment.admit import Enrolling, EnrollmentRules, Ready
    from ostiary.fleet.enrollment.csv_table import Request
    from ostiary.fleet.enrollment.patch import read_wish

    with open_fleet(fleet) as home:
        known = home.settings.groups
        wish = read_wish(known, time.time(), name, groups, valid_from, valid_until, schedule)
        request = Request(checked(subject), (), wish)
        bundle = home.bundle()
        old = home.registry().people.get(subject)
        if old is not None and old.gone and not again:
            raise FleetError(f"{subject} was revoked", "--again enrolls")
        err.print(f"{escape(device)} is looking for at most {timeout:.0f} s")
        template = gather(
            home, check_subject(device), subject, bundle.encoder_id, bundle.dim, timeout
        )
        rules = EnrollmentRules(again, force_look_alike)
        outcome = Enrolling(home, bundle, rules).admit([Ready(request, template)])
        for refusal in outcome.refused:
            raise EnrollmentRefused(refusal.reason, refusal.message, refusal.hint)
        told = publish_now(home, no_publish)
    if json:
        said = {"subject": subject, "device": device, "published": told.published}
        print_json({**said, **besides(outcome)})
    else:
        out.print(f"enrolled {subject} at {device}")
        warn_besides(outcome)
    raise typer.Exit(told.code)
