"""`ostiary enroll`, `change`, `suspend`, `resume` and `forget`: the people of a door without a
roster."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from ostiary.edge import dates
from ostiary.edge.access.admission import Admission, admit
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.adapters.storage.state_dir import STORE
from ostiary.edge.adapters.storage.store import Store, SubjectRow
from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.config import Config, load_config
from ostiary.edge.core.types import MOST_NAME, SUBJECT, is_name
from ostiary.edge.errors import ConfigError, RequestError
from ostiary.edge.models.choose import open_models
from ostiary.edge.vision.enrollment import SECOND_PHOTO
from ostiary.edge.vision.enrollment import enroll as make_template

Profile = Annotated[Path, typer.Option("--config", help="Profile of the door (TOML).")]
Subject = Annotated[str, typer.Argument(help="The person's subject id: 1 to 64 of a-z, 0-9 and -.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[
    str | None, typer.Option("--name", help="The person's name, for `ostiary subjects` only.")
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="The last day of access, or its end: 2026-12-31T18:00."),
]


def register(app: typer.Typer) -> None:
    for command in (enroll, change, suspend, resume, forget):
        app.command()(command)


def enroll(
    config: Profile,
    subject: Subject,
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos of one person; two of different days are far better than one."),
    ],
    name: Name = None,
    until: Until = None,
    force_look_alike: Annotated[
        bool,
        typer.Option(
            "--force-look-alike", help="Enroll even if the person looks like somebody enrolled."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Enroll a person from photos, unless they look like somebody else who is enrolled.

    A person who is already enrolled gets the new template in place of the old one; their name and
    rights stay, except for those given here. A running daemon follows at once. Photos are refused
    with a reason: no-face, two-faces, not-upright, covered, low-quality or disagreement. Of several
    faces, one that is clearly larger and nearer the middle than all others is taken, and that is
    said.

    Example: `ostiary enroll --config door.toml alice alice.jpg alice-in-may.jpg --until 2026-12-31`
    """
    profile = of_its_own(load_config(config))
    _check_subject(subject)
    wish = _wish(profile, name, until)
    images = [(str(path), read_photo(path)) for path in photos]
    models = open_models(profile)
    template = make_template(models, subject, images, profile.limits(), _note)
    if models.bundle.upright is None:
        _note("the bundle has no upright.json: whether the face is upright, its detector judged")
    if models.bundle.covered is None:
        _note("the bundle has no covered.json: whether the face is covered was not asked")
    with closing(open_store(profile)) as store, store.edit():
        now_s, fpir = time.time(), profile.recognition.fpir
        done = admit(store, template, models.bundle, fpir, now_s, force_look_alike)
        store.change(replace(_known(store, subject), **wish), now_s)
    if json:
        print_json(
            {
                "subject": subject,
                "photos": len(photos),
                "encoder": template.encoder,
                "look_alike": done.look_alike,
                "not_compared": done.not_compared,
            }
        )
    else:
        out.print(f"enrolled {subject} from {len(photos)} photo{'s' * (len(photos) > 1)}")
        if len(photos) == 1:
            again = f"enroll {subject} again, from both photos"
            err.print(f"one photo: {SECOND_PHOTO} [dim]({again})[/]")
    _warn(subject, done)


def _note(text: str) -> None:
    err.print(escape(text))


def _warn(subject: str, done: Admission) -> None:
    if done.look_alike is not None:
        err.print(escape(f"{subject}: {done.look_alike.text()}"))
    if done.not_compared:
        err.print(
            f"not compared: {done.not_compared} people have no template of this bundle's encoder,"
            " and may look alike [dim](enroll them again)[/]"
        )


def change(
    config: Profile, subject: Subject, name: Name = None, until: Until = None, json: Json = False
) -> None:
    """Change a person's name or last day, without a photo; an empty value takes one away.

    Example: `ostiary change --config door.toml alice --name "Alice Adams" --until ""`
    """
    profile = of_its_own(load_config(config))
    wish = _wish(profile, name, until)
    if not wish:
        raise RequestError("nothing to change is named", "name what to change: --name or --until")
    changed = _changed(profile, subject, wish)
    if json:
        return print_json({"subject": subject, "changed": changed})
    out.print(f"changed {subject}" if changed else f"{subject} has these rights already")


def suspend(config: Profile, subject: Subject, json: Json = False) -> None:
    """Bar a person from this door until `resume`; the door still recognises and reports them.

    A running daemon obeys from its next frame on.

    Example: `ostiary suspend --config door.toml alice`
    """
    _set_suspended(config, subject, "suspended", json, suspended=True)


def resume(config: Profile, subject: Subject, json: Json = False) -> None:
    """End a person's suspension; a running daemon follows at once.

    Example: `ostiary resume --config door.toml alice`
    """
    _set_suspended(config, subject, "resumed", json, suspended=False)


def _set_suspended(
    config: Path, subject: str, what: str, as_json: bool, *, suspended: bool
) -> None:
    profile = of_its_own(load_config(config))
    changed = _changed(profile, subject, {"suspended": suspended})
    if as_json:
        return print_json({"subject": subject, "changed": changed})
    out.print(f"{what} {subject}" if changed else f"{subject} is already {what}")


def forget(config: Profile, subject: Subject) -> None:
    """Remove a person and all of their templates; a running daemon follows at once.

    Example: `ostiary forget --config door.toml alice`
    """
    profile = of_its_own(load_config(config))
    _check_subject(subject)
    with closing(open_store(profile)) as store:
        _known(store, subject)
        store.remove(subject)
    out.print(f"forgot {subject}")


def open_store(profile: Config) -> Store:
    """The door's own store. Raises StoreError."""
    return Store(profile.state.path / STORE)


def zone_of(profile: Config) -> ZoneInfo | None:
    """The time zone that days begin and end in; None means the system's."""
    return ZoneInfo(profile.access.timezone) if profile.access.timezone else None


def of_its_own(profile: Config) -> Config:
    """The profile, if its door has no roster; else raises ConfigError, because a door that follows
    a roster would ignore subjects that are enrolled here."""
    if profile.roster is not None:
        raise ConfigError(
            "this door follows the fleet's roster: nobody can be enrolled, changed, suspended or"
            " forgotten here",
            "use the commands of `ostiary-fleet`: enroll, change, suspend, resume, revoke",
        )
    return profile


def _wish(profile: Config, name: str | None, until: str | None) -> dict[str, Any]:
    """The fields of a subject that are to change. Raises RequestError for a bad name or date."""
    wish: dict[str, Any] = {}
    if name is not None:
        if not is_name(name):
            raise RequestError(f"a name has at most {MOST_NAME} printable characters")
        wish["name"] = name
    if until is not None:
        wish["valid_until_s"] = dates.end_of(until, time.time(), zone_of(profile))
    return wish


def _changed(profile: Config, subject: str, wish: dict[str, Any]) -> bool:
    """Change an enrolled subject; False if there was nothing to change."""
    _check_subject(subject)
    with closing(open_store(profile)) as store, store.edit():
        old = _known(store, subject)
        new = replace(old, **wish)
        if new != old:
            store.change(new, time.time())
    return new != old


def _known(store: Store, subject: str) -> SubjectRow:
    row = store.subject(subject)
    if row is None:
        raise RequestError(f"{subject} is not enrolled here", "`ostiary subjects` lists all")
    return row


def _check_subject(subject: str) -> None:
    if not SUBJECT.fullmatch(subject):
        raise RequestError(
            f"{subject!r} is not a subject id", "use 1 to 64 characters of a-z, 0-9 and -"
        )
