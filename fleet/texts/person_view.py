"""A person's details for display: state, times and hours as text, but never a template."""

from __future__ import annotations

from ostiary.edge.wire import utc
from ostiary.fleet.registry.person import Person
from ostiary.fleet.texts import schedule


def state_of(person: Person, now_s: float) -> str:
    """`revoked`, `suspended`, `expired`, `to come` or `active`."""
    if person.gone:
        return "revoked"
    if person.suspended:
        return "suspended"
    if person.valid_until_s is not None and person.valid_until_s <= now_s:
        return "expired"
    if person.valid_from_s is not None and person.valid_from_s > now_s:
        return "to come"
    return "active"


def as_json(person: Person, now_s: float) -> dict[str, object]:
    """A person's details for machines; times are in UTC."""
    return {
        "subject": person.subject,
        "name": person.name,
        "state": state_of(person, now_s),
        "groups": person.groups,
        "valid_from": _utc(person.valid_from_s),
        "valid_until": _utc(person.valid_until_s),
        "schedule": schedule.text_of(person.schedule),
        "learns": person.learns,
        "revision": person.revision,
        "enrolled_at": _utc(person.enrolled_at_s),
        "encoders": person.encoders,
        "photos": person.photos,
    }


def photos_of(person: Person) -> str:
    """How many photos the person's templates were made from: `2`, `?` if unknown, or `1, 3` if the
    templates of two encoders differ; empty without a template."""
    counts = [str(person.photos.get(encoder, "?")) for encoder in person.encoders]
    return ", ".join(dict.fromkeys(counts))


def _utc(at_s: float | None) -> str | None:
    return None if at_s is None else utc(at_s)
