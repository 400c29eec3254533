"""`ostiary-fleet enroll` and `change`: who is enrolled, and what they are given."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import BAD_INPUT, err, out, print_json, progress
from ostiary.edge.files import write_atomically
from ostiary.fleet.cli.common import (
    NOT_DONE,
    Folder,
    Json,
    NoPublish,
    Publishing,
    Subject,
    checked,
    open_fleet,
    publish_now,
    warn,
    why,
)
from ostiary.fleet.enrollment.admit import (
    Enrolled,
    Enrolling,
    EnrollmentOutcome,
    EnrollmentRules,
    embed,
)
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request, read_table, write_report
from ostiary.fleet.enrollment.patch import PersonWish, read_wish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet

SHOWN = 20
Name = Annotated[str | None, typer.Option("--name", help="For your eyes; it is not published.")]
Groups = Annotated[str | None, typer.Option("--groups", help="Between commas: staff,cleaners.")]
From = Annotated[str | None, typer.Option("--from", help="The first day: 2026-12-01.")]
Until = Annotated[str | None, typer.Option("--until", help="The last day, or a day and time.")]
Hours = Annotated[
    str | None, typer.Option("--schedule", help='"mon-fri 08:00-18:00, sat 09:00-12:00".')
]


def register(app: typer.Typer) -> None:
    app.command()(enroll)
    app.command()(change)


def enroll(
    subject: Annotated[str | None, typer.Argument(help="An opaque id: a-z, 0-9 and -.")] = None,
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos of one person; one is enough.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="A table of people instead.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="With --csv: write the refused here, as CSV.")
    ] = None,
    name: Name = None,
    groups: Groups = None,
    valid_from: From = None,
    valid_until: Until = None,
    schedule: Hours = None,
    again: Annotated[bool, typer.Option("--again", help="Also who was revoked.")] = False,
    force_look_alike: Annotated[
        bool, typer.Option("--force-look-alike", help="Also who looks like somebody enrolled.")
    ] = False,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Enroll a person from photos, or everybody in a table; every door learns of it at once.

    Somebody enrolled already gets the new template in place of the old one; what else they were
    given stays, but for what is named.

    --csv FILE has the columns subject and photo, and may have name, groups, from, until and
    schedule; photos start at the file's folder, several in one cell with ; between them. Each line
    is taken or refused by itself. Exit code 0: all enrolled, 1: some refused or not published yet,
    2: nobody enrolled.

    Example: `ostiary-fleet enroll alice alice.jpg --groups staff --until 2026-12-31`
    """
    rules = EnrollmentRules(again, force_look_alike)
    if csv is not None:
        if subject is not None or any(
            option is not None for option in (name, groups, valid_from, valid_until, schedule)
        ):
            raise FleetError("--csv names the people and what they are given", "give only that")
        with open_fleet(fleet) as home:
            return _enroll_table(home, csv, report, rules, no_publish, as_json=json)
    if subject is None or not photos or report is not None:
        raise FleetError(
            "who is to be enrolled?", "ostiary-fleet enroll SUBJECT PHOTO..., or --csv FILE"
        )
    with open_fleet(fleet) as home:
        known = home.settings.groups
        wish = read_wish(known, time.time(), name, groups, valid_from, valid_until, schedule)
        request = Request(checked(subject), tuple(photos), wish)
        _enroll_one(home, request, rules, no_publish, as_json=json)


def change(
    subject: Subject,
    name: Name = None,
    groups: Groups = None,
    valid_from: From = None,
    valid_until: Until = None,
    schedule: Hours = None,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Change what somebody is given, without a photo; an empty value takes it away.

    Example: `ostiary-fleet change alice --groups staff,cleaners --until ""`
    """
    with open_fleet(fleet) as home:
        registry, now_s = home.registry(), time.time()
        known = home.settings.groups
        wish = read_wish(known, now_s, name, groups, valid_from, valid_until, schedule)
        if wish == PersonWish():
            raise FleetError("nothing to change is named", "--groups, --until and so on")
        with registry.snapshot():
            seen, old = registry.roster.sequence, registry.people.present(checked(subject))
        revision = registry.put(wish.of(old), {}, now_s, seen)
        told = publish_now(home, no_publish)
    if json:
        print_json({"subject": subject, "revision": revision, "published": told.published})
    else:
        out.print(f"changed {subject}" if revision > old.revision else f"{subject} is so already")
    raise typer.Exit(told.code)


def _enroll_one(
    home: Fleet, request: Request, rules: EnrollmentRules, no_publish: bool, as_json: bool
) -> None:
    bundle, sequence = home.bundle(), home.registry().roster.sequence
    _check_not_revoked(home, request.subject, rules)
    Album(home).check()
    ready, refused = embed(bundle, [request])
    outcome = (
        Enrolling(home, bundle, rules).admit(ready) if ready else EnrollmentOutcome(refused=refused)
    )
    for refusal in outcome.refused:
        raise FleetError(refusal.message, refusal.hint)
    (enrolled,) = outcome.enrolled
    told = publish_now(home, no_publish)
    if as_json:
        print_json(
            {
                "subject": enrolled.subject,
                "photos": len(request.photos),
                "encoder": bundle.encoder_id,
                "revision": enrolled.revision,
                "look_alike": enrolled.look_alike,
                **besides(outcome),
                "published": told.published,
            }
        )
    else:
        _say_enrolled(enrolled, enrolled.revision <= sequence)
    warn_besides(outcome)
    raise typer.Exit(NOT_DONE if outcome.not_kept else told.code)


def _check_not_revoked(home: Fleet, subject: str, rules: EnrollmentRules) -> None:
    """Before any photo is looked at; looked at again when it is written."""
    old = home.registry().people.get(subject)
    if old is not None and old.gone and not rules.again:
        raise FleetError(f"{subject} was revoked", "--again enrolls")


def _say_enrolled(enrolled: Enrolled, unchanged: bool) -> None:
    if unchanged:
        out.print(f"{enrolled.subject} is enrolled like this already")
    elif enrolled.was_enrolled:
        out.print(f"enrolled {enrolled.subject} anew, in place of the template there was")
    else:
        out.print(f"enrolled {enrolled.subject}")
    if enrolled.look_alike is not None:
        err.print(escape(f"{enrolled.subject}: {enrolled.look_alike.text()}"))


def _enroll_table(
    home: Fleet,
    csv: Path,
    report: Path | None,
    rules: EnrollmentRules,
    no_publish: bool,
    as_json: bool,
) -> None:
    requests, refused = read_table(csv, home.settings.groups, time.time())
    # Before the long work: what can not be written then would come too late.
    Album(home).check()
    if report is not None:
        _check_report(report)
    bundle, outcome = home.bundle(), EnrollmentOutcome()
    bar, done = progress("embedding")
    with bar:
        ready, unfit = embed(bundle, requests, done)
    bar, done = progress("comparing")
    with bar:
        if ready:
            outcome = Enrolling(home, bundle, rules).admit(ready, done)
    refused = sorted([*refused, *unfit, *outcome.refused], key=lambda r: r.line)
    told = publish_now(home, no_publish)
    reported = report is None or _reported(report, refused)
    _say_table(outcome, refused, told, as_json)
    warn_besides(outcome)
    if refused and not outcome.enrolled:
        raise typer.Exit(BAD_INPUT)
    whole = reported and not refused and not outcome.not_kept
    raise typer.Exit(told.code if whole else NOT_DONE)


def _check_report(report: Path) -> None:
    if report.is_dir() or not os.access(report.parent, os.W_OK | os.X_OK):
        raise FleetError(f"can not write the report {report}", "nobody was enrolled")


def _reported(report: Path, refused: list[RefusedRequest]) -> bool:
    try:
        write_atomically(report, write_report(refused))
    except OSError as error:
        warn("no report", why(error))
        return False
    return True


def besides(outcome: EnrollmentOutcome) -> dict[str, object]:
    """For machines: what an operator should know beside who was enrolled."""
    return {
        "not_compared": outcome.not_compared,
        "templates_dropped": sum(one.dropped for one in outcome.enrolled),
        "photos_not_kept": sorted(outcome.not_kept),
    }


def warn_besides(outcome: EnrollmentOutcome) -> None:
    """The same in words."""
    if outcome.enrolled and outcome.not_compared:
        warn(
            "not compared",
            f"with {outcome.not_compared} who have no template of this bundle's encoder",
            "`ostiary-fleet reembed` makes templates from kept photos",
        )
    dropped = [one for one in outcome.enrolled if one.dropped]
    if dropped:
        warn(
            "dropped",
            f"the templates of other encoders of {_named([one.subject for one in dropped])}",
            "made from other photos; `ostiary-fleet reembed` makes them anew",
        )
    if outcome.not_kept:
        problem = next(iter(outcome.not_kept.values()))
        warn("photos not kept", f"of {_named(sorted(outcome.not_kept))}: {problem}")


def _named(subjects: list[str]) -> str:
    more = len(subjects) - SHOWN
    return ", ".join(subjects[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _say_table(
    outcome: EnrollmentOutcome, refused: list[RefusedRequest], told: Publishing, as_json: bool
) -> None:
    enrolled = outcome.enrolled
    forced = [e for e in enrolled if e.look_alike is not None]
    if as_json:
        return print_json(
            {
                "enrolled": len(enrolled),
                "refused": refused,
                "look_alikes": forced,
                **besides(outcome),
                "published": told.published,
            }
        )
    out.print(f"enrolled {len(enrolled)}, refused {len(refused)}")
    for refusal in refused[:SHOWN]:
        hint = f" [dim]({escape(refusal.hint)})[/]" if refusal.hint else ""
        err.print(f"  line {refusal.line}: {escape(refusal.message)}{hint}")
    if len(refused) > SHOWN:
        err.print(f"  and {len(refused) - SHOWN} more (--report FILE has all)")
    for one in forced[:SHOWN]:
        alike = one.look_alike.text() if one.look_alike else ""
        err.print(escape(f"  line {one.line}: {one.subject}, enrolled all the same: {alike}"))
