"""The changes that an operator wants for a person, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ostiary.edge import dates
from ostiary.edge.roster.record import Hours
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Person
from ostiary.fleet.texts import schedule


@dataclass(frozen=True, slots=True)
class PersonWish:
    """The wanted changes to a person. None leaves a field unchanged; an empty value clears it."""

    name: str | None = None
    groups: tuple[str, ...] | None = None
    valid_from: tuple[float | None] | None = None
    valid_until: tuple[float | None] | None = None
    schedule: tuple[Hours, ...] | None = None
    learns: bool | None = None

    def of(self, person: Person) -> Person:
        """The person with the changes. Raises FleetError if `until` is then not after `from`."""
        changes: dict[str, object] = {
            "name": self.name,
            "groups": self.groups,
            "schedule": self.schedule,
            "learns": self.learns,
        }
        given = {field: value for field, value in changes.items() if value is not None}
        if self.valid_from is not None:
            given["valid_from_s"] = self.valid_from[0]
        if self.valid_until is not None:
            given["valid_until_s"] = self.valid_until[0]
        wished = msgspec.structs.replace(person, **given)
        start, end = wished.valid_from_s, wished.valid_until_s
        if start is not None and end is not None and start >= end:
            raise FleetError(
                f"valid from {dates.text_of(start)}, but only until {dates.text_of(end)}",
                "the last day must be after the first",
            )
        return wished


NOTHING = PersonWish()


def read_wish(
    known_groups: Sequence[str],
    now_s: float,
    name: str | None = None,
    groups: str | None = None,
    valid_from: str | None = None,
    valid_until: str | None = None,
    hours: str | None = None,
    learns: bool | None = None,
) -> PersonWish:
    """Read the changes from an operator's texts.

    Raises FleetError, or for a date RequestError, that names what is wrong.
    """
    return PersonWish(
        name,
        None if groups is None else read_groups(groups, known_groups),
        None if valid_from is None else (dates.start_of(valid_from, now_s),),
        None if valid_until is None else (dates.end_of(valid_until, now_s),),
        None if hours is None else schedule.parse(hours),
        learns,
    )


def read_groups(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read group names between commas. Raises FleetError for a group the fleet does not know."""
    named = dict.fromkeys(re.split(r"[,;\s]+", text.strip())) if text.strip() else {}
    for group in named:
        if group not in known:
            raise FleetError(
                f"unknown group {group!r}; known: {', '.join(sorted(known)) or 'none'}",
                "`ostiary-fleet group add` adds one",
            )
    return tuple(named)
