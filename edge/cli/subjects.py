"""`ostiary enroll`, `subjects`, `forget` and `identify`: the gallery of one device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.adapters.storage.state_dir import STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.config import Config, load_config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.pad import Presentation
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Evidence, Mode
from ostiary.edge.core.types import SUBJECT
from ostiary.edge.errors import ConfigError, PhotoError, StoreError
from ostiary.edge.models.choose import open_models
from ostiary.edge.remote import stored
from ostiary.edge.vision.enrollment import enroll as make_template
from ostiary.edge.vision.observer import open_enrolled
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.wire import utc

Profile = Annotated[Path, typer.Option("--config", help="Profile of the door (TOML).")]
Subject = Annotated[str, typer.Option("--subject", help="Subject id: a-z, 0-9 and -.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
SHOWN = 5


def register(app: typer.Typer) -> None:
    for command in (enroll, subjects, forget, identify):
        app.command()(command)


def enroll(
    config: Profile,
    subject: Subject,
    photos: Annotated[list[Path], typer.Argument(help="Photos of one person; one is enough.")],
    json: Json = False,
) -> None:
    """Enroll a person from photos; templates that the subject had are replaced.

    A running daemon uses the new template within a second. Photos are refused with a reason:
    no-face, two-faces, low-quality or disagreement.

    Example: `ostiary enroll --config door.toml --subject alice alice.jpg`
    """
    _check_subject(subject)
    profile = _of_its_own(load_config(config))
    images = [(str(path), read_photo(path)) for path in photos]
    template = make_template(open_models(profile), subject, images, profile.limits())
    store = _store(profile)
    store.put(template, time.time())
    store.close()
    if json:
        return print_json({"subject": subject, "photos": len(photos), "encoder": template.encoder})
    out.print(f"enrolled {subject} from {len(photos)} photo{'s' * (len(photos) > 1)}")


def subjects(config: Profile, json: Json = False) -> None:
    """List the subjects that are enrolled on this device.

    Example: `ostiary subjects --config door.toml`
    """
    profile = load_config(config)
    if profile.roster is not None:
        return _roster_subjects(profile, json)
    store = _store(profile)
    rows = store.subjects()
    store.close()
    if json:
        return print_json(rows)
    table = Table("subject", "enrolled", "encoders")
    for row in rows:
        encoders = ", ".join(e[:12] for e in row.encoders)
        table.add_row(row.subject, utc(row.enrolled_at), encoders)
    out.print(table if rows else "nobody is enrolled")


def _roster_subjects(profile: Config, json: bool) -> None:
    """List the subjects of the roster; only the operator knows when each one was enrolled."""
    held = [sealed.record for sealed in stored.stored(profile) if not sealed.record.gone]
    held.sort(key=lambda record: record.subject)
    if json:
        rows = [
            {
                "subject": record.subject,
                "revision": record.revision,
                "encoders": sorted(record.templates),
                "groups": record.groups,
                "suspended": record.suspended,
            }
            for record in held
        ]
        return print_json(rows)
    table = Table("subject", "revision", "encoders", "groups", "")
    for record in held:
        encoders = ", ".join(e[:12] for e in sorted(record.templates))
        groups, state = ", ".join(record.groups), "suspended" if record.suspended else ""
        table.add_row(record.subject, str(record.revision), encoders, groups, state)
    out.print(table if held else "the roster is empty or has not arrived yet")


def forget(config: Profile, subject: Subject) -> None:
    """Remove a subject and all of its templates; a running daemon follows within a second.

    Example: `ostiary forget --config door.toml --subject alice`
    """
    _check_subject(subject)
    store = _store(_of_its_own(load_config(config)))
    gone = store.remove(subject)
    store.close()
    if not gone:
        raise ConfigError(f"{subject} is not enrolled here", "`ostiary subjects` lists all")
    out.print(f"forgot {subject}")


def identify(
    config: Profile,
    photo: Annotated[Path, typer.Argument(help="Photo to search for.")],
    json: Json = False,
) -> None:
    """Search for a photo's face among all enrolled subjects (1:K), and decide as the door would.

    Exit code 0: granted, 1: denied, 2: bad input. Liveness (PAD) and votes over several frames are
    left out, since one photo gives neither.

    Example: `ostiary identify --config door.toml visitor.jpg`
    """
    profile = load_config(config)
    profile = _identifying(profile)
    pipeline = open_models(profile)
    enrolled = open_enrolled(pipeline, profile)
    _load(enrolled, pipeline, profile)
    image = read_photo(photo)
    faces = pipeline.find(image)
    if not faces:
        raise PhotoError(f"{photo}: no face was found")
    aligned = pipeline.align(image, faces[0])
    failed = quality.failures(pipeline.quality(faces[0], aligned), profile.limits())
    candidates = enrolled.gallery.identify(pipeline.probe(aligned), top=SHOWN)
    tau = enrolled.tau
    live, barred = Presentation.BONA_FIDE, enrolled.barred(candidates)
    evidence = Evidence(0, tau.tau, tau.k, failed, live, candidates, barred)
    decision = policy.judge(profile.rules(), evidence)
    if json:
        print_json({"decision": decision, "tau": tau, "failures": failed, "candidates": candidates})
    else:
        for rank, candidate in enumerate(candidates, 1):
            out.print(f"{rank}. {candidate.subject:<24} score {candidate.score:.4f}")
        colour = "green" if decision.granted else "red"
        out.print(
            f"[{colour}]{decision.outcome.value}[/] / {decision.reason.value}"
            f"   {decision.subject or '-'}"
        )
        out.print(f"tau {tau.tau:.3f} for K={tau.k} at FPIR {tau.wanted}")
        if failed:
            out.print(escape(f"quality: {', '.join(failed)}"))
        if not tau.supported:
            err.print("the DET curve does not reach this FPIR; the strictest measured tau is used")
    raise typer.Exit(0 if decision.granted else 1)


def _of_its_own(profile: Config) -> Config:
    """The profile, if its door has no roster; else raises ConfigError, because a door that follows
    a roster would ignore subjects that are enrolled here."""
    if profile.roster is not None:
        raise ConfigError(
            "this door follows the fleet's roster: subjects cannot be enrolled or forgotten here",
            "use `ostiary-fleet enroll` or `ostiary-fleet revoke`",
        )
    return profile


def _identifying(profile: Config) -> Config:
    usual = profile.recognition
    wanted = msgspec.structs.replace(usual, mode=Mode.IDENTIFY, verifier=False)
    return msgspec.structs.replace(profile, recognition=wanted)


def _load(enrolled: Enrolled, pipeline: Pipeline, profile: Config) -> None:
    bundle = pipeline.bundle
    if profile.roster is not None:
        stored.load(profile, enrolled, bundle)
        if not len(enrolled.gallery):
            raise StoreError("the roster on this device is empty", "let the daemon fetch it first")
        return
    store = _store(profile)
    found, damaged = store.templates(bundle.encoder_id, bundle.dim)
    unusable = store.unusable(bundle.encoder_id)
    store.close()
    if unusable:
        names = ", ".join(unusable[:3]) + (", ..." if len(unusable) > 3 else "")
        message = f"{len(unusable)} subjects have templates of another encoder only: {names}"
        if not found:
            raise StoreError(message, "enroll them again with this bundle")
        err.print(escape(message))
    if damaged:
        err.print(escape(f"damaged templates, enroll again: {', '.join(damaged)}"))
    if not found:
        raise StoreError("nobody is enrolled", "run `ostiary enroll` first")
    enrolled.load(found)


def _check_subject(subject: str) -> None:
    if not SUBJECT.fullmatch(subject):
        raise ConfigError(
            f"{subject!r} is not a subject id", "use 1 to 64 characters of a-z, 0-9 and -"
        )


def _store(profile: Config) -> Store:
    return Store(profile.state.path / STORE)
