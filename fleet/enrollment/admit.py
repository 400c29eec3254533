"""Enrolls people from photos: embeds them on all cores, refuses look-alikes, writes all in one
edit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ostiary.edge.access.admission import refused
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.scores.lookalike import LookAlike, LookAlikeGuard
from ostiary.edge.core.types import Template
from ostiary.edge.errors import EnrollmentRefused, OstiaryError, PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import Done, each_photo
from ostiary.edge.vision.enrollment import enroll as make_template
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request
from ostiary.fleet.errors import ChangedMeanwhile, FleetError
from ostiary.fleet.registry.person import Fused, Person, blobs_of
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet

LIMITS = Limits()
MOST_TRIES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A request with its template, not yet compared with anybody's; `notes` for the operator."""

    request: Request
    template: Template
    notes: tuple[str, ...] = ()

    @property
    def fused(self) -> Fused:
        """The template as the registry takes it."""
        return Fused(self.template.embedding, self.template.photos)


@dataclass(frozen=True, slots=True)
class EnrolledPerson:
    """A person who was enrolled; `look_alike` is the similar person, if that check was overruled.

    `photos` counts the photos or frames that the template was made from; it is 0 if unknown.
    `dropped` counts the person's templates of other encoders, removed because they were made from
    other photos. `notes` says which face was taken from a photo that shows several, and
    which photo was turned upright.
    """

    subject: str
    revision: int
    line: int
    was_enrolled: bool
    photos: int
    look_alike: LookAlike | None = None
    dropped: int = 0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class EnrollmentOutcome:
    """The result of some requests.

    `not_compared` counts people without a template of this encoder: look-alikes of them are not
    noticed. `not_kept` says, by subject, why an enrolled person's photos are not kept.
    """

    enrolled: list[EnrolledPerson] = field(default_factory=list)
    refused: list[RefusedRequest] = field(default_factory=list)
    not_compared: int = 0
    not_kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnrollmentRules:
    """`again` allows enrolling revoked subjects, `force` allows look-alikes."""

    again: bool = False
    force: bool = False

    def bar(self, person: Person | None) -> bool:
        """True if a person may not be enrolled because they were revoked."""
        return person is not None and person.gone and not self.again


def embed(
    bundle: Bundle, requests: Sequence[Request], done: Done = lambda done, total: None
) -> tuple[list[Ready], list[RefusedRequest]]:
    """Embed the photos of each request, on all cores: the templates, and the refused requests."""
    made = each_photo(bundle.in_float(), requests, _embed_one, done=done) if requests else []
    ready = [m for m in made if isinstance(m, Ready)]
    return ready, [m for m in made if isinstance(m, RefusedRequest)]


def _embed_one(pipeline: Pipeline, request: Request) -> Ready | RefusedRequest:
    notes: list[str] = []
    try:
        images = [(str(path), read_photo(path)) for path in request.photos]
        template = make_template(pipeline, request.subject, images, LIMITS, notes.append)
    except EnrollmentRefused as error:
        return RefusedRequest.of(error, request.subject, error.reason, request.line)
    except PhotoError as error:
        return RefusedRequest.of(error, request.subject, "bad-photo", request.line)
    return Ready(request, template, tuple(notes))


class Enrolling:
    """Compares new templates with everybody's, and writes if nobody else wrote meanwhile."""

    def __init__(
        self,
        fleet: Fleet,
        bundle: Bundle,
        rules: EnrollmentRules,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fleet, self._bundle, self._rules, self._clock = fleet, bundle, rules, clock
        self._registry: Registry = fleet.registry()
        self._album = Album(fleet)

    def admit(
        self, ready: Sequence[Ready], done: Done = lambda done, total: None
    ) -> EnrollmentOutcome:
        """Enroll everybody who passes the checks, which also compare the requests with each other.

        `done(n, total)` is called after each comparison. Raises ChangedMeanwhile if others keep
        writing.
        """
        for _ in range(MOST_TRIES - 1):
            try:
                return self._try(ready, done)
            except ChangedMeanwhile:
                # Somebody else wrote first: compare with the people they enrolled, too.
                continue
        return self._try(ready, done)

    def _try(self, ready: Sequence[Ready], done: Done) -> EnrollmentOutcome:
        outcome, taken = EnrollmentOutcome(), list[_Taken]()
        with self._registry.snapshot():
            seen = self._registry.roster.sequence
            known = self._registry.people.among([r.request.subject for r in ready])
            guard = self._guard(ready)
            coming = {r.request.subject for r in ready}
            lacking = set(self._registry.people.lacking(self._bundle.encoder_id))
            outcome.not_compared = len(lacking - coming)
        for number, one in enumerate(ready, 1):
            judged = self._judge(one, known.get(one.request.subject), guard)
            if isinstance(judged, RefusedRequest):
                outcome.refused.append(judged)
            else:
                taken.append(judged)
                guard.add(one.request.subject, one.template.embedding)
            done(number, len(ready))
        outcome.enrolled = self._write(taken, seen)
        outcome.not_kept = self._keep(taken)
        return outcome

    def _guard(self, ready: Sequence[Ready]) -> LookAlikeGuard:
        bundle = self._bundle
        held = self._registry.people.templates(bundle.encoder_id)
        coming = [one.request.subject for one in ready]
        fpir = self._fleet.settings.fpir
        return LookAlikeGuard(bundle.curve("float_float"), fpir, bundle.dim, held, coming)

    def _judge(
        self, one: Ready, old: Person | None, guard: LookAlikeGuard
    ) -> _Taken | RefusedRequest:
        request = one.request
        subject, line = request.subject, request.line
        if self._rules.bar(old):
            return RefusedRequest(
                subject,
                "revoked",
                f"{subject} was revoked",
                "to enroll a revoked subject",
                line,
                option="again",
            )
        alike = guard.nearest(subject, one.template.embedding)
        if alike is not None and not self._rules.force:
            refusal = refused(subject, alike)
            return RefusedRequest.of(refusal, subject, refusal.reason, line)
        # A revoked person starts anew, without the earlier groups, dates and hours.
        present = old is not None and not old.gone
        base = old if old is not None and present else Person(subject=subject, name=_name(old))
        try:
            dropped = len({*base.encoders} - {self._bundle.encoder_id})
            return _Taken(one, request.wish.of(base), present, alike, dropped)
        except FleetError as error:
            problem = FleetError(f"{subject}: {error.message}", error.hint, option=error.option)
            return RefusedRequest.of(problem, subject, "bad-row", line)

    def _write(self, taken: Sequence[_Taken], seen: int) -> list[EnrolledPerson]:
        for one in taken:
            # Remove the old photos before the edit: a photo must never outlive the template made
            # from it.
            if one.present:
                self._album.forget(one.person.subject)
        encoder = self._bundle.encoder_id
        items = [(one.person, {encoder: one.ready.fused}) for one in taken]
        revisions = self._registry.put_many(items, self._clock(), seen)
        return [
            EnrolledPerson(
                t.person.subject,
                revision,
                t.ready.request.line,
                t.present,
                t.ready.template.photos,
                t.look_alike,
                t.dropped,
                t.ready.notes,
            )
            for t, revision in zip(taken, revisions, strict=True)
        ]

    def _keep(self, taken: Sequence[_Taken]) -> dict[str, str]:
        """Keep the photos of the people just enrolled. Returns, by subject, why that failed; they
        stay enrolled."""
        failed: dict[str, str] = {}
        if not self._fleet.settings.keep_photos:
            return failed
        for one in taken:
            subject = one.person.subject
            try:
                if one.ready.request.photos:
                    self._album.keep(subject, one.ready.request.photos)
                # Somebody else may have erased, revoked or re-enrolled the subject meanwhile. Each
                # of them edits first and then removes photos, so looking for their edit after
                # keeping photos misses nothing.
                if not one.ready.request.photos or not self._holds(one):
                    self._album.forget(subject)
            except OstiaryError as error:
                failed[subject] = error.message
        return failed

    def _holds(self, one: _Taken) -> bool:
        """Whether the subject still has the template that was made from these photos."""
        subject, encoder = one.person.subject, self._bundle.encoder_id
        held = self._registry.people.blobs_among([subject]).get(subject, {})
        return held.get(encoder) == blobs_of({encoder: one.ready.fused})[encoder]


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A request that passed the checks; `present` means that the subject is already enrolled."""

    ready: Ready
    person: Person
    present: bool
    look_alike: LookAlike | None
    dropped: int


def _name(old: Person | None) -> str:
    return old.name if old is not None else ""
