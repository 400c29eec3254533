"""Enroll people: from photos, from a table of photos, or in front of a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.runtime.bundle import Bundle
from ostiary.fleet.desk.delivery import Delivery, Progress, Publish, Say, publish_change
from ostiary.fleet.doors.command import capture as template_from
from ostiary.fleet.enrollment.admit import (
    EnrolledPerson,
    Enrolling,
    EnrollmentOutcome,
    EnrollmentRules,
    Ready,
    embed,
)
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request, read_table
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A person who was enrolled with a template of `encoder`.

    `unchanged` means that the person already had the same template and rights.
    """

    enrolled: EnrolledPerson
    unchanged: bool
    encoder: str
    outcome: EnrollmentOutcome
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class TableEnrollment:
    """The result for a table: who was enrolled, and every refused line in the table's order."""

    outcome: EnrollmentOutcome
    refused: list[RefusedRequest]
    delivery: Delivery


def enroll(
    fleet: Fleet,
    request: Request,
    rules: EnrollmentRules,
    say: Say,
    publish: Publish | None = publish_changes,
) -> Enrollment:
    """Enroll one person from photos. Raises EnrollmentRefused or FleetError if that fails."""
    check_subject(request.subject)
    bundle = fleet.bundle()
    check_not_revoked(fleet, request.subject, rules)
    Album(fleet).check()
    ready, refused = embed(bundle, [request])
    for refusal in refused:
        raise refusal.error()
    return _admit(fleet, bundle, ready[0], rules, say, publish)


def capture(
    fleet: Fleet,
    device: str,
    request: Request,
    rules: EnrollmentRules,
    timeout_s: float,
    say: Say,
    asking: Callable[[], None] = lambda: None,
    publish: Publish | None = publish_changes,
) -> Enrollment:
    """Enroll the person who stands at a device; no photo is kept.

    `asking` is called right before the device is asked. Raises EnrollmentRefused or FleetError if
    nobody was enrolled.
    """
    check_subject(request.subject)
    check_subject(device)
    bundle = fleet.bundle()
    check_not_revoked(fleet, request.subject, rules)
    asking()
    encoder, dim = bundle.encoder_id, bundle.dim
    template = template_from(fleet, device, request.subject, encoder, dim, timeout_s)
    return _admit(fleet, bundle, Ready(request, template), rules, say, publish)


def enroll_table(
    fleet: Fleet,
    table: Path,
    rules: EnrollmentRules,
    progress: Progress,
    say: Say,
    publish: Publish | None = publish_changes,
) -> TableEnrollment:
    """Enroll everybody in a CSV file; each line is accepted or refused by itself.

    Raises FleetError, and enrolls nobody, if the file cannot be read or photos could not be kept.
    """
    requests, refused = read_table(table, fleet.settings.groups, time.time())
    # Check before the long work that photos can be written.
    Album(fleet).check()
    bundle, outcome = fleet.bundle(), EnrollmentOutcome()
    ready, unfit = embed(bundle, requests, lambda done, total: progress("embedding", done, total))
    if ready:
        outcome = Enrolling(fleet, bundle, rules).admit(
            ready, lambda done, total: progress("comparing", done, total)
        )
    refused = sorted([*refused, *unfit, *outcome.refused], key=lambda refusal: refusal.line)
    return TableEnrollment(outcome, refused, publish_change(fleet, say, publish))


def check_not_revoked(fleet: Fleet, subject: str, rules: EnrollmentRules) -> None:
    """Raise FleetError for a revoked person, before the long work of making a template.

    Enrolling checks once more, since the person may be revoked meanwhile.
    """
    if rules.bar(fleet.registry().people.get(subject)):
        raise FleetError(f"{subject} was revoked", "to enroll a revoked subject", option="again")


def _admit(
    fleet: Fleet,
    bundle: Bundle,
    ready: Ready,
    rules: EnrollmentRules,
    say: Say,
    publish: Publish | None,
) -> Enrollment:
    sequence = fleet.registry().roster.sequence
    outcome = Enrolling(fleet, bundle, rules).admit([ready])
    for refusal in outcome.refused:
        raise refusal.error()
    (enrolled,) = outcome.enrolled
    delivery = publish_change(fleet, say, publish)
    unchanged = enrolled.revision <= sequence
    return Enrollment(enrolled, unchanged, bundle.encoder_id, outcome, delivery)
