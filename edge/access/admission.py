"""Enrolls people into the store of a door without a roster, guarded against look-alikes."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.scores.lookalike import LookAlike, LookAlikeGuard
from ostiary.edge.core.types import Template
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.runtime.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Admission:
    """Somebody who was enrolled; `look_alike` is the similar person, if that check was overruled.

    `not_compared` counts the subjects without a sound template of this encoder: look-alikes of them
    are not noticed.
    """

    look_alike: LookAlike | None
    not_compared: int


def admit(
    store: Store, template: Template, bundle: Bundle, fpir: float, now_s: float, force: bool = False
) -> Admission:
    """Enroll a subject, unless its template is too close to somebody else's; `force` allows that.

    A score is too close from the tau for `fpir` and everybody in the store on. `now_s` is in
    seconds since 1970. Raises EnrollmentRefused for a look-alike, and StoreError; then nothing is
    changed.
    """
    subject = template.subject
    # One edit: of two look-alikes who are enrolled at once, the second must be compared too.
    with store.edit():
        held, damaged = store.templates(bundle.encoder_id, bundle.dim)
        known = [(other, embeddings) for other, embeddings, *_ in held]
        curve = bundle.curve("float_float")
        guard = LookAlikeGuard(curve, fpir, bundle.dim, known, [subject])
        alike = guard.nearest(subject, template.embedding)
        if alike is not None and not force:
            raise refused(subject, alike)
        lacking = {*store.unusable(bundle.encoder_id), *damaged} - {subject}
        store.put(template, now_s)
    return Admission(alike, len(lacking))


def refused(subject: str, alike: LookAlike) -> EnrollmentRefused:
    """The refusal of a look-alike, by a lone door as by a fleet: it says whom they look like."""
    return EnrollmentRefused(
        "duplicate" if alike.same else "look-alike",
        f"{subject}: {alike.text()}",
        f"to enroll {subject} anyway",
        option="force_look_alike",
    )
