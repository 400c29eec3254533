"""`ostiary subjects` and `identify`: the gallery of one device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge import dates
from ostiary.edge.access import local
from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.adapters.storage.store import SubjectRow
from ostiary.edge.cli import learned
from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.cli.people import Json, Profile, open_store, zone_of
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config, load_config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules import access, reading
from ostiary.edge.core.rules.access import Moment
from ostiary.edge.core.rules.evidence import Evidence, Mode
from ostiary.edge.core.scores.cost import unsupported
from ostiary.edge.errors import PhotoError, StoreError
from ostiary.edge.models.choose import open_models
from ostiary.edge.remote import stored
from ostiary.edge.vision.observer import open_enrolled
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.turns import as_upright_as_it_gets
from ostiary.edge.wire import utc

SHOWN = 5


def register(app: typer.Typer) -> None:
    for command in (subjects, identify):
        app.command()(command)


def subjects(config: Profile, json: Json = False) -> None:
    """List the subjects that are enrolled on this device.

    Example: `ostiary subjects --config door.toml`
    """
    profile = load_config(config)
    if profile.roster is not None:
        return _roster_subjects(profile, json)
    moment, zone = WallClock(profile.access.timezone), zone_of(profile)
    with closing(open_store(profile)) as store:
        rows = store.subjects()
        moment.known(store.changed_s())
    if json:
        return print_json([_as_json(row, moment()) for row in rows])
    table = Table("subject", "name", "state", "until", "enrolled", "encoders", "photos")
    for row in rows:
        table.add_row(
            row.subject,
            escape(row.name),
            _state(row, moment()),
            dates.text_of(row.valid_until_s, zone),
            utc(row.enrolled_at),
            ", ".join(e[:12] for e in row.encoders),
            _photos(row.encoders, row.photos),
        )
    out.print(table if rows else "nobody is enrolled")


def _as_json(row: SubjectRow, moment: Moment) -> dict[str, object]:
    """A subject of the door's own store for machines; `enrolled_at` is in seconds since 1970."""
    return {
        "subject": row.subject,
        "name": row.name,
        "state": _state(row, moment),
        "suspended": row.suspended,
        "valid_until": None if row.valid_until_s is None else utc(row.valid_until_s),
        "enrolled_at": row.enrolled_at,
        "encoders": row.encoders,
        "photos": row.photos,
    }


def _state(row: SubjectRow, moment: Moment) -> str:
    """`active`, or why the door would not let the subject pass."""
    reason = access.barred(row.rights, (), moment)
    return "active" if reason is None else reason.value


def _roster_subjects(profile: Config, json: bool) -> None:
    """List the subjects of the roster; only the operator knows when each one was enrolled."""
    held = [sealed.record for sealed in stored.stored(profile) if not sealed.record.gone]
    held.sort(key=lambda record: record.subject)
    samples = learned.samples_of(profile)
    if json:
        rows = [
            {
                "subject": record.subject,
                "revision": record.revision,
                "encoders": sorted(record.templates),
                "photos": record.photos,
                "groups": record.groups,
                "suspended": record.suspended,
                "learns": record.learns,
                "learned": len(samples.get(record.subject, [])),
                "learned_since": learned.since(samples.get(record.subject, [])),
            }
            for record in held
        ]
        return print_json(rows)
    table = Table("subject", "revision", "encoders", "photos", "groups", "learned", "")
    for record in held:
        encoders = sorted(record.templates)
        named, photos = ", ".join(e[:12] for e in encoders), _photos(encoders, record.photos)
        groups, state = ", ".join(record.groups), "suspended" if record.suspended else ""
        said = learned.in_words(samples.get(record.subject, []))
        table.add_row(record.subject, str(record.revision), named, photos, groups, said, state)
    out.print(table if held else "the roster is empty or has not arrived yet")


def _photos(encoders: Sequence[str], photos: Mapping[str, int]) -> str:
    """The photos behind the template of each encoder, in the encoders' order; ? is unknown."""
    return ", ".join(str(photos.get(encoder, "?")) for encoder in encoders)


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
    moment = WallClock(profile.access.timezone)
    enrolled = open_enrolled(pipeline, profile, moment)
    _load(enrolled, pipeline, profile, moment)
    upright = as_upright_as_it_gets(pipeline, read_photo(photo))
    if not upright.faces:
        raise PhotoError(f"{photo}: no face was found")
    if upright.degrees:
        err.print(escape(f"{photo}: turned by {upright.degrees} degrees, so that it is upright"))
    aligned = pipeline.align(upright.image, upright.faces[0])
    failed = quality.failures(pipeline.quality(upright.faces[0], aligned), profile.limits())
    candidates = enrolled.gallery.identify(pipeline.probe(aligned), top=SHOWN)
    tau = enrolled.photo_tau
    live, barred = Presentation.BONA_FIDE, enrolled.barred(candidates)
    evidence = Evidence(0, tau.tau, tau.k, failed, live, candidates, barred)
    decision = reading.judge(profile.rules(), evidence)
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
            err.print(unsupported(tau))
    raise typer.Exit(0 if decision.granted else 1)


def _identifying(profile: Config) -> Config:
    usual = profile.recognition
    wanted = msgspec.structs.replace(usual, mode=Mode.IDENTIFY, verifier=False)
    return msgspec.structs.replace(profile, recognition=wanted)


def _load(enrolled: Enrolled, pipeline: Pipeline, profile: Config, moment: WallClock) -> None:
    bundle = pipeline.bundle
    if profile.roster is not None:
        stored.load(profile, enrolled, bundle)
        if not len(enrolled.gallery):
            raise StoreError("the roster on this device is empty", "let the daemon fetch it first")
        return
    with closing(open_store(profile)) as store:
        damaged = local.load(store, enrolled, bundle, moment)
        unusable = store.unusable(bundle.encoder_id)
    found = len(enrolled.gallery)
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
