"""Change what one person may do: rights, suspension, revocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.fleet.desk.delivery import Delivery, Publish, Say, forget_photos, publish_change
from ostiary.fleet.enrollment.patch import NOTHING, PersonWish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class PersonChange:
    """The result of a change to a person; `changed` is False if there was nothing to change.

    `photos_kept` is True if photos of a revoked person could not be removed.
    """

    subject: str
    revision: int
    changed: bool
    delivery: Delivery
    photos_kept: bool = False


def change(
    fleet: Fleet,
    subject: str,
    wish: PersonWish,
    now_s: float,
    say: Say,
    publish: Publish | None = publish_changes,
) -> PersonChange:
    """Change the name or the rights of an enrolled person.

    Raises FleetError if `wish` is empty, or if the person is unknown or revoked.
    """
    if wish == NOTHING:
        raise FleetError("nothing to change is named", "name what to change, such as groups")
    registry = fleet.registry()
    with registry.snapshot():
        seen, old = registry.roster.sequence, registry.people.present(check_subject(subject))
    revision = registry.put(wish.of(old), {}, now_s, seen)
    delivery = publish_change(fleet, say, publish)
    return PersonChange(subject, revision, revision > old.revision, delivery)


def suspend(
    fleet: Fleet, subject: str, now_s: float, say: Say, publish: Publish | None = publish_changes
) -> PersonChange:
    """Bar a person from every door until `resume`; doors still recognise them."""
    return _edit(fleet, subject, fleet.registry().suspend, now_s, say, publish)


def resume(
    fleet: Fleet, subject: str, now_s: float, say: Say, publish: Publish | None = publish_changes
) -> PersonChange:
    """End a suspension."""
    return _edit(fleet, subject, fleet.registry().resume, now_s, say, publish)


def revoke(
    fleet: Fleet, subject: str, now_s: float, say: Say, publish: Publish | None = publish_changes
) -> PersonChange:
    """Delete a person's templates, here and at every door, and the person's kept photos.

    The doors are told first, so that a photo that cannot be removed lets nobody in.
    """
    before = fleet.registry().roster.sequence
    revision = fleet.registry().revoke(check_subject(subject), now_s)
    try:
        delivery = publish_change(fleet, say, publish)
    finally:
        # Remove photos even if publishing is interrupted.
        forgotten = forget_photos(fleet, subject, say)
    return PersonChange(subject, revision, revision > before, delivery, not forgotten)


def _edit(
    fleet: Fleet,
    subject: str,
    edit: Callable[[str, float], int],
    now_s: float,
    say: Say,
    publish: Publish | None,
) -> PersonChange:
    """Make an edit of the registry, which returns the person's revision, and publish it."""
    before = fleet.registry().roster.sequence
    revision = edit(check_subject(subject), now_s)
    return PersonChange(subject, revision, revision > before, publish_change(fleet, say, publish))
