"""`ostiary-fleet list` and `show`: who is enrolled, and what operators did."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge import dates
from ostiary.edge.cli.console import out, print_json
from ostiary.edge.wire import utc
from ostiary.fleet.cli.common import Folder, Json, Subject, open_fleet, warn
from ostiary.fleet.desk.delivery import why
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.patch import read_groups
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Person, check_subject
from ostiary.fleet.site.fleet import Fleet
from ostiary.fleet.texts import person_view, schedule

SHOWN_ENCODER = 12


def register(app: typer.Typer) -> None:
    app.command("list")(list_people)
    app.command()(show)


def list_people(
    group: Annotated[
        str | None, typer.Option("--group", help="List the people of this group only.")
    ] = None,
    one_photo: Annotated[
        bool,
        typer.Option("--one-photo", help="List only people with a template of a single photo."),
    ] = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """List everybody in the registry, revoked people included.

    The column `photos` counts the photos behind a person's template; ? means that it was made
    before photos were counted. A second photo is worth more than any other improvement.

    Example: `ostiary-fleet list --group staff --one-photo`
    """
    now_s = time.time()
    with open_fleet(fleet) as home:
        if group is not None:
            read_groups(group, home.settings.groups)
        people = [p for p in home.registry().people.all() if group is None or group in p.groups]
    people = [person for person in people if person.one_photo or not one_photo]
    if json:
        return print_json([person_view.as_json(person, now_s) for person in people])
    table = Table("subject", "name", "state", "photos", "groups", "until", "schedule", "learns")
    for person in people:
        table.add_row(
            person.subject,
            escape(person.name),
            person_view.state_of(person, now_s),
            person_view.photos_of(person),
            ", ".join(person.groups),
            dates.text_of(person.valid_until_s),
            schedule.text_of(person.schedule),
            "yes" if person.learns else "",
        )
    nobody = "nobody has a template of a single photo" if one_photo else "nobody is enrolled"
    out.print(table if people else nobody)


def show(subject: Subject, fleet: Folder = None, json: Json = False) -> None:
    """Show a person's rights, and which operator changed what; a template is never shown.

    Example: `ostiary-fleet show alice`
    """
    now_s = time.time()
    with open_fleet(fleet) as home:
        person = home.registry().people.known(check_subject(subject))
        trail = home.registry().trail.of(subject)
        published = person.revision <= home.registry().roster.published
        kept = _kept(home, subject)
        facts = {**person_view.as_json(person, now_s), "published": published, "photos_kept": kept}
    if json:
        lines = [
            {"at": utc(e.at_s), "who": e.who, "what": e.what, "sequence": e.sequence} for e in trail
        ]
        return print_json({**facts, "trail": lines})
    for name, value in _for_people(person, now_s):
        out.print(escape(f"{name:<12} {value}"))
    out.print(f"{'published':<12} {'yes' if published else 'not yet'}")
    album = {True: "yes", False: "no", None: "unknown"}[kept]
    out.print(f"{'photos kept':<12} {album}")
    for entry in trail:
        out.print(escape(f"{dates.text_of(entry.at_s)}  {entry.what} by {entry.who}"))


def _for_people(person: Person, now_s: float) -> list[tuple[str, str]]:
    return [
        ("subject", person.subject),
        ("name", person.name or "-"),
        ("state", person_view.state_of(person, now_s)),
        ("groups", ", ".join(person.groups) or "-"),
        ("from", dates.text_of(person.valid_from_s) or "-"),
        ("until", dates.text_of(person.valid_until_s) or "-"),
        ("schedule", schedule.text_of(person.schedule) or "always"),
        ("learns", "yes" if person.learns else "no"),
        ("encoders", ", ".join(e[:SHOWN_ENCODER] for e in person.encoders) or "no template"),
        ("photos", person_view.photos_of(person) or "-"),
        ("revision", str(person.revision)),
    ]


def _kept(home: Fleet, subject: str) -> bool | None:
    """Whether photos of a person are kept; None, with a warning, if that cannot be determined."""
    try:
        return Album(home).has(subject)
    except (FleetError, OSError) as error:
        warn("photos", why(error))
        return None
