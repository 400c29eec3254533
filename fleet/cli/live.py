"""`ostiary-fleet watch`, `open` and `capture`: what a door does now."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.cli.common import (
    Again,
    Device,
    Folder,
    ForceLookAlike,
    From,
    Groups,
    Hours,
    Json,
    Learns,
    Name,
    NoPublish,
    Subject,
    Until,
    code,
    open_fleet,
    publisher,
    say,
)
from ostiary.fleet.cli.people import besides, warn_besides
from ostiary.fleet.desk import enroll as enrolling
from ostiary.fleet.doors.command import clear_lockout as end_lockouts
from ostiary.fleet.doors.command import open_door
from ostiary.fleet.doors.watch import DoorMessage, Watch, line
from ostiary.fleet.enrollment.admit import EnrollmentRules
from ostiary.fleet.enrollment.csv_table import Request
from ostiary.fleet.enrollment.patch import read_wish
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
EACH_S = 1.0


def register(app: typer.Typer) -> None:
    for command in (watch, capture, clear_lockout):
        app.command()(command)
    app.command("open")(open_)


def watch(
    device: Annotated[str | None, typer.Option("--device", help="Show this device only.")] = None,
    fleet: Folder = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on each line.")
    ] = False,
) -> None:
    """Show the decisions and events of the doors as they happen; Ctrl-C ends it.

    People are shown with their names from the registry; --json has subject ids only.

    Example: `ostiary-fleet watch --device north-door`
    """
    with open_fleet(fleet) as home:
        seen = Watch(home.settings.site, None if device is None else check_subject(device))
        wait_s, ever = FIRST_WAIT_S, False
        while True:
            try:
                with Broker(home.mqtt()) as broker:
                    # The broker retains each door's state, which is shown first; then come new
                    # messages.
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
    """Open a door once from here; the device records it like any other decision.

    Example: `ostiary-fleet open north-door`
    """
    with open_fleet(fleet) as home:
        open_door(home, check_subject(device))
    if json:
        return print_json({"device": device, "opened": True})
    out.print(f"{device} opened its door")


def clear_lockout(device: Device, fleet: Folder = None, json: Json = False) -> None:
    """End every lockout at a door, of faces and of cards; the door stays shut.

    Example: `ostiary-fleet clear-lockout north-door`
    """
    with open_fleet(fleet) as home:
        end_lockouts(home, check_subject(device))
    if json:
        return print_json({"device": device, "cleared": True})
    out.print(f"{device} locks nobody out any longer")


def capture(
    device: Device,
    subject: Subject,
    name: Name = None,
    groups: Groups = None,
    valid_from: From = None,
    valid_until: Until = None,
    schedule: Hours = None,
    learns: Learns = None,
    again: Again = False,
    force_look_alike: ForceLookAlike = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=5, max=120, help="Seconds that the device looks.")
    ] = 60.0,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Enroll the person in front of a door: the device gathers good frames and sends a template.

    The template is made from five frames, or from at least three if the time runs out. No photo
    leaves the device, so `reembed` cannot make another template later. The door decides nothing
    meanwhile.

    Example: `ostiary-fleet capture north-door alice --name "Alice Adams" --groups staff`
    """
    with open_fleet(fleet) as home:
        known = home.settings.groups
        wish = read_wish(
            known, time.time(), name, groups, valid_from, valid_until, schedule, learns
        )
        done = enrolling.capture(
            home,
            device,
            Request(subject, (), wish),
            EnrollmentRules(again, force_look_alike),
            timeout,
            say,
            lambda: err.print(f"{escape(device)} looks for at most {timeout:.0f} s"),
            publisher(no_publish),
        )
    if json:
        said = {"subject": subject, "device": device, "photos": done.enrolled.photos}
        published = {"published": done.delivery.published}
        print_json({**said, **published, **besides(done.outcome)})
    else:
        frames = f" from {done.enrolled.photos} frames" if done.enrolled.photos else ""
        out.print(f"enrolled {subject} at {device}{frames}")
        warn_besides(done.outcome)
    raise typer.Exit(code(done.delivery))
