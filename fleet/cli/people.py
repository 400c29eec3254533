"""`ostiary-fleet enroll` and `change`: who is enrolled, and with which rights."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import BAD_INPUT, advice, err, out, print_json, progress
from ostiary.edge.files import write_atomically
from ostiary.edge.vision.enrollment import SECOND_PHOTO
from ostiary.fleet.cli.common import (
    ID,
    NOT_DONE,
    Again,
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
    warn,
)
from ostiary.fleet.desk import enroll as enrolling
from ostiary.fleet.desk import rights
from ostiary.fleet.desk.delivery import why
from ostiary.fleet.desk.enroll import Enrollment, TableEnrollment
from ostiary.fleet.enrollment.admit import EnrollmentOutcome, EnrollmentRules
from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request, write_report
from ostiary.fleet.enrollment.patch import read_wish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet

SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command()(enroll)
    app.command()(change)


def enroll(
    subject: Annotated[str | None, typer.Argument(help=f"The person's subject id: {ID}.")] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Photos of this person; two of different days are far better than one."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Enroll the people of this CSV table instead.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the refused lines of --csv to this file.")
    ] = None,
    name: Name = None,
    groups: Groups = None,
    valid_from: From = None,
    valid_until: Until = None,
    schedule: Hours = None,
    learns: Learns = None,
    again: Again = False,
    force_look_alike: ForceLookAlike = False,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Enroll a person from photos, or the people of a table, at every door at once.

    A person who is already enrolled gets the new template in place of the old one; their name and
    rights stay, except for those given here.

    --csv FILE has the columns subject and photo, and may have name, groups, from, until, schedule
    and learns (yes or no). Paths of photos start at the file's folder; several photos go into one
    cell, with ; between them. Each line is taken or refused by itself. Exit code 0: all enrolled,
    1: some refused or not published yet, 2: nobody enrolled.

    Example: `ostiary-fleet enroll alice alice.jpg alice-in-may.jpg --groups staff`
    """
    rules = EnrollmentRules(again, force_look_alike)
    if csv is not None:
        if subject is not None or any(
            option is not None
            for option in (name, groups, valid_from, valid_until, schedule, learns)
        ):
            raise FleetError(
                "--csv already names the people and their rights",
                "leave out SUBJECT, the photos and the options of one person",
            )
        with open_fleet(fleet) as home:
            return _enroll_table(home, csv, report, rules, no_publish, as_json=json)
    if subject is None or not photos or report is not None:
        raise FleetError(
            "who is to be enrolled?", "ostiary-fleet enroll SUBJECT PHOTO..., or --csv FILE"
        )
    with open_fleet(fleet) as home:
        known = home.settings.groups
        wish = read_wish(
            known, time.time(), name, groups, valid_from, valid_until, schedule, learns
        )
        request = Request(subject, tuple(photos), wish)
        done = enrolling.enroll(home, request, rules, say, publisher(no_publish))
    if json:
        print_json(
            {
                "subject": subject,
                "photos": done.enrolled.photos,
                "encoder": done.encoder,
                "revision": done.enrolled.revision,
                "look_alike": done.enrolled.look_alike,
                **besides(done.outcome),
                "published": done.delivery.published,
            }
        )
    else:
        _show_enrolled(done)
    warn_besides(done.outcome)
    raise typer.Exit(NOT_DONE if done.outcome.not_kept else code(done.delivery))


def change(
    subject: Subject,
    name: Name = None,
    groups: Groups = None,
    valid_from: From = None,
    valid_until: Until = None,
    schedule: Hours = None,
    learns: Learns = None,
    no_publish: NoPublish = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Change a person's name, rights or consent, without a photo; an empty value takes one away.

    Example: `ostiary-fleet change alice --groups staff,cleaners --until ""`
    """
    with open_fleet(fleet) as home:
        now_s, known = time.time(), home.settings.groups
        wish = read_wish(known, now_s, name, groups, valid_from, valid_until, schedule, learns)
        done = rights.change(home, subject, wish, now_s, say, publisher(no_publish))
    if json:
        published = done.delivery.published
        print_json({"subject": subject, "revision": done.revision, "published": published})
    else:
        out.print(f"changed {subject}" if done.changed else f"{subject} has these rights already")
    raise typer.Exit(code(done.delivery))


def _show_enrolled(done: Enrollment) -> None:
    enrolled = done.enrolled
    if done.unchanged:
        out.print(f"{enrolled.subject} is already enrolled with this template and these rights")
    elif enrolled.was_enrolled:
        out.print(f"enrolled {enrolled.subject} anew, in place of the old template")
    else:
        out.print(f"enrolled {enrolled.subject}")
    if enrolled.look_alike is not None:
        err.print(escape(f"{enrolled.subject}: {enrolled.look_alike.text()}"))
    if enrolled.photos == 1:
        warn("one photo", SECOND_PHOTO, f"enroll {enrolled.subject} again, from both photos")


def _enroll_table(
    home: Fleet,
    csv: Path,
    report: Path | None,
    rules: EnrollmentRules,
    no_publish: bool,
    as_json: bool,
) -> None:
    if report is not None and (report.is_dir() or not os.access(report.parent, os.W_OK | os.X_OK)):
        raise FleetError(f"cannot write the report {report}", "nobody was enrolled")
    bar, move = progress("embedding")

    def tell(step: str, done: int, total: int) -> None:
        bar.update(bar.task_ids[0], description=step)
        move(done, total)

    with bar:
        done = enrolling.enroll_table(home, csv, rules, tell, say, publisher(no_publish))
    reported = report is None or _reported(report, done.refused)
    _show_table(done, as_json)
    warn_besides(done.outcome)
    if done.refused and not done.outcome.enrolled:
        raise typer.Exit(BAD_INPUT)
    whole = reported and not done.refused and not done.outcome.not_kept
    raise typer.Exit(code(done.delivery) if whole else NOT_DONE)


def _reported(report: Path, refused: list[RefusedRequest]) -> bool:
    try:
        write_atomically(report, write_report(refused, advice))
    except OSError as error:
        warn("no report", why(error))
        return False
    return True


def besides(outcome: EnrollmentOutcome) -> dict[str, object]:
    """The fields of `--json` for problems that did not stop the enrollment."""
    return {
        "not_compared": outcome.not_compared,
        "templates_dropped": sum(one.dropped for one in outcome.enrolled),
        "photos_not_kept": sorted(outcome.not_kept),
        "notes": [note for one in outcome.enrolled for note in one.notes],
    }


def warn_besides(outcome: EnrollmentOutcome) -> None:
    """Print these problems as warnings, and which face was taken, what was turned."""
    notes = [note for one in outcome.enrolled for note in one.notes]
    for note in notes[:SHOWN]:
        warn("photo", note)
    if len(notes) > SHOWN:
        warn("photos", f"and {len(notes) - SHOWN} more photos")
    if outcome.enrolled and outcome.not_compared:
        warn(
            "not compared",
            f"{outcome.not_compared} people have no template of this bundle's encoder,"
            " and may look alike",
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


def _show_table(done: TableEnrollment, as_json: bool) -> None:
    enrolled, refused = done.outcome.enrolled, done.refused
    one_photo = sum(one.photos == 1 for one in enrolled)
    forced = [one for one in enrolled if one.look_alike is not None]
    if as_json:
        return print_json(
            {
                "enrolled": len(enrolled),
                "one_photo": one_photo,
                "refused": refused,
                "look_alikes": forced,
                **besides(done.outcome),
                "published": done.delivery.published,
            }
        )
    out.print(f"enrolled {len(enrolled)}, refused {len(refused)}")
    for refusal in refused[:SHOWN]:
        said = advice(refusal.error())
        hint = f" [dim]({escape(said)})[/]" if said else ""
        err.print(f"  line {refusal.line}: {escape(refusal.message)}{hint}")
    if len(refused) > SHOWN:
        err.print(f"  and {len(refused) - SHOWN} more (--report FILE writes all)")
    for one in forced[:SHOWN]:
        alike = one.look_alike.text() if one.look_alike else ""
        err.print(escape(f"  line {one.line}: enrolled {one.subject} all the same: {alike}"))
    if one_photo:
        many = f"{one_photo} of {len(enrolled)} people were enrolled from one photo"
        hint = "put both into the cell `photo`, with ; between them, and enroll the table again"
        warn("one photo", f"{many}; {SECOND_PHOTO}", hint)
