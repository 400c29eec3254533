"""Photos to people in the registry: embedded on all cores, guarded, written at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import EnrollmentRefused, OstiaryError, PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import Done, each_photo
from ostiary.edge.vision.enrollment import enroll as make_template
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request
from ostiary.fleet.enrollment.lookalike import LookAlike, LookAlikeGuard
from ostiary.fleet.errors import ChangedMeanwhile, FleetError
from ostiary.fleet.registry.person import Person, blobs_of
from ostiary.fleet.registry.writer import Registry
from ostiary.fleet.site.fleet import Fleet

LIMITS = Limits()
MOST_TRIES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A request with its template, before it is compared with anybody."""

    request: Request
    template: Floats


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Somebody who was enrolled; `look_alike` names whom they resemble where that was forced.

    `dropped` counts their templates of other encoders: those were made from other photos.
    """

    subject: str
    revision: int
    line: int
    was_enrolled: bool
    look_alike: LookAlike | None = None
    dropped: int = 0


@dataclass(slots=True)
class EnrollmentOutcome:
    """What became of some requests.

    `not_compared` counts the people who have no template of this encoder, and so may look like
    anybody. `not_kept` says, by subject, why the photos of somebody enrolled are not kept.
    """

    enrolled: list[Enrolled] = field(default_factory=list)
    refused: list[RefusedRequest] = field(default_factory=list)
    not_compared: int = 0
    not_kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnrollmentRules:
    """`again` enrolls also who was revoked, `force` also who looks like somebody else."""

    again: bool = False
    force: bool = False

    def bar(self, person: Person | None) -> bool:
        """Whether a person may not be enrolled, because they were revoked."""
        return person is not None and person.gone and not self.again


def embed(
    bundle: Bundle, requests: Sequence[Request], done: Done = lambda done, total: None
) -> tuple[list[Ready], list[RefusedRequest]]:
    """A float template a request, on all cores, or why there is none."""
    made = each_photo(bundle.in_float(), requests, _embed_one, done=done) if requests else []
    ready = [m for m in made if isinstance(m, Ready)]
    return ready, [m for m in made if isinstance(m, RefusedRequest)]


def _embed_one(pipeline: Pipeline, request: Request) -> Ready | RefusedRequest:
    try:
        images = [(str(path), read_photo(path)) for path in request.photos]
        template = make_template(pipeline, request.subject, images, LIMITS)
    except EnrollmentRefused as error:
        return RefusedRequest(
            request.subject, error.reason, error.message, error.hint, request.line
        )
    except PhotoError as error:
        return RefusedRequest(request.subject, "bad-photo", error.message, error.hint, request.line)
    return Ready(request, template.embedding)


class Enrolling:
    """Compares with everybody and writes, in that order and of one moment."""

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
        """Enroll whom nothing speaks against. Who looks like somebody earlier in the same requests
        is refused as well.

        Raises ChangedMeanwhile where others keep writing.
        """
        for _ in range(MOST_TRIES - 1):
            try:
                return self._try(ready, done)
            except ChangedMeanwhile:
                # Somebody was faster: who they enrolled is to be compared with, too.
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
                guard.add(one.request.subject, one.template)
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
                subject, "revoked", f"{subject} was revoked", "--again enrolls", line
            )
        alike = guard.nearest(subject, one.template)
        if alike is not None and not self._rules.force:
            reason = "duplicate" if alike.same else "look-alike"
            message = f"{subject}: {alike.text()}"
            return RefusedRequest(subject, reason, message, "--force-look-alike enrolls", line)
        # Who was revoked starts anew: what they were given then is over.
        present = old is not None and not old.gone
        base = old if old is not None and present else Person(subject=subject, name=_name(old))
        try:
            dropped = len({*base.encoders} - {self._bundle.encoder_id})
            return _Taken(one, request.wish.of(base), present, alike, dropped)
        except FleetError as error:
            return RefusedRequest(
                subject, "bad-row", f"{subject}: {error.message}", error.hint, line
            )

    def _write(self, taken: Sequence[_Taken], seen: int) -> list[Enrolled]:
        for one in taken:
            # First: a photo must never outlive the template that was made from it.
            if one.present:
                self._album.forget(one.person.subject)
        encoder = self._bundle.encoder_id
        items = [(one.person, {encoder: one.ready.template}) for one in taken]
        revisions = self._registry.put_many(items, self._clock(), seen)
        return [
            Enrolled(
                t.person.subject,
                revision,
                t.ready.request.line,
                t.present,
                t.look_alike,
                t.dropped,
            )
            for t, revision in zip(taken, revisions, strict=True)
        ]

    def _keep(self, taken: Sequence[_Taken]) -> dict[str, str]:
        """Keep the photos of who is enrolled by now. What fails is told: it undoes nothing."""
        failed: dict[str, str] = {}
        if not self._fleet.settings.keep_photos:
            return failed
        for one in taken:
            subject = one.person.subject
            try:
                if one.ready.request.photos:
                    self._album.keep(subject, one.ready.request.photos)
                # Others may have erased, revoked or enrolled them anew since: they look for photos
                # after their edit, this looks for their edit after the photos.
                if not one.ready.request.photos or not self._holds(one):
                    self._album.forget(subject)
            except OstiaryError as error:
                failed[subject] = error.message
        return failed

    def _holds(self, one: _Taken) -> bool:
        """Whether somebody still has the template that was made from these photos."""
        subject, encoder = one.person.subject, self._bundle.encoder_id
        held = self._registry.people.blobs_among([subject]).get(subject, {})
        return held.get(encoder) == blobs_of({encoder: one.ready.template})[encoder]


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A request that nothing speaks against; `present` where the subject is enrolled already."""

    ready: Ready
    person: Person
    present: bool
    look_alike: LookAlike | None
    dropped: int


def _name(old: Person | None) -> str:
    return old.name if old is not None else ""
