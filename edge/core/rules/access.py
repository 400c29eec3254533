"""Whether a subject's rights let it pass one door at one moment."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from ostiary.edge.core.types import Reason

DAY_MIN = 24 * 60
EVERY_DAY = 0b111_1111
SPARE = 64
"""Unused entries that may be kept before a tidy-up is worth its time."""

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Span:
    """Some hours of some days, in the door's local time.

    `days` has one bit for each day, Monday's is the lowest. `start_min` and `end_min` are minutes
    since midnight, 0 to 1440, half open. A span that does not end after it starts runs into the
    next day, which need not be one of `days`.
    """

    days: int
    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Rights:
    """A subject's rights, by the roster or by the door's own store. Without a `schedule` it may
    pass at any hour; times are in seconds since 1970, half open."""

    groups: tuple[str, ...] = ()
    valid_from_s: float | None = None
    valid_until_s: float | None = None
    schedule: tuple[Span, ...] = ()
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: seconds since 1970, the door's local weekday (Monday is 0), and the day's minute."""

    at_s: float
    weekday: int
    minute: int


def barred(rights: Rights, door_groups: Sequence[str], moment: Moment) -> Reason | None:
    """Why a recognised subject may not pass here and now; None if they may.

    A door that names no groups is open to every group.
    """
    if rights.suspended:
        return Reason.SUSPENDED
    # Both comparisons of times are written so that NaN is refused.
    if rights.valid_until_s is not None and not moment.at_s < rights.valid_until_s:
        return Reason.EXPIRED
    if door_groups and set(door_groups).isdisjoint(rights.groups):
        return Reason.NOT_HERE
    if rights.valid_from_s is not None and not moment.at_s >= rights.valid_from_s:
        return Reason.OUTSIDE_SCHEDULE
    if rights.schedule and not any(_within(span, moment) for span in rights.schedule):
        return Reason.OUTSIDE_SCHEDULE
    return None


def _within(span: Span, moment: Moment) -> bool:
    today, yesterday = 1 << moment.weekday, 1 << (moment.weekday - 1) % 7
    if span.start_min < span.end_min:
        return bool(span.days & today) and span.start_min <= moment.minute < span.end_min
    return bool(span.days & today and moment.minute >= span.start_min) or bool(
        span.days & yesterday and moment.minute < span.end_min
    )


class SharedRights:
    """Stores equal rights once: most of thousands of people have the same."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Hashable] = {}
        self._room = SPARE

    def __len__(self) -> int:
        return len(self._held)

    def one(self, rights: Rights) -> Rights:
        """The object stored for these rights, added if new; equal groups and hours are shared."""
        held = self._held.get(rights)
        if held is not None:
            return cast(Rights, held)
        groups, schedule = self._same(rights.groups), self._same(rights.schedule)
        return self._same(replace(rights, groups=groups, schedule=schedule))

    def tidy(self, used: Iterable[Rights]) -> None:
        """Drop stored rights that are not in `used`, if that may be half of all.

        `used` are objects that `one` returned. Without this, rights of former visitors would be
        kept for ever.
        """
        if len(self._held) <= self._room:
            return
        self._held.clear()
        # The rights are compared by identity: hashing them for 100,000 people would hold up the
        # door.
        for rights in {id(rights): rights for rights in used}.values():
            for part in (rights, rights.groups, rights.schedule):
                self._same(part)
        self._room = 2 * len(self._held) + SPARE

    def _same(self, value: Value) -> Value:
        return cast(Value, self._held.setdefault(value, value))
