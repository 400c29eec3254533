"""Erase a person in a safe order, and wait until the devices have confirmed the erasure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.errors import OstiaryError
from ostiary.fleet.desk.delivery import (
    Delivery,
    Notice,
    Publish,
    Say,
    forget_photos,
    publish_change,
)
from ostiary.fleet.doors.receipts import Receipts, receipts
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.registry.people import unknown
from ostiary.fleet.registry.person import check_subject
from ostiary.fleet.site.fleet import Fleet

Ask = Callable[[Fleet, int, float], Receipts]
"""Asks the devices to confirm a sequence, with a time limit in seconds; raises OstiaryError if it
cannot."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """The progress of an erasure.

    `asked` are the devices that were asked to confirm it, and `waiting` those that have not.
    `unconfirmed` are the sequences of all erasures that some device has not confirmed.
    """

    sequence: int
    delivery: Delivery
    asked: list[str]
    waiting: list[str]
    unconfirmed: list[int]


def check_erasable(fleet: Fleet, subject: str) -> None:
    """Raise FleetError for an unknown person; photos left of such a person are removed first.

    Photos can be left if somebody else was enrolling the person during an earlier erasure.
    """
    if fleet.registry().people.get(check_subject(subject)) is not None:
        return
    if Album(fleet).forget(subject):
        raise FleetError(f"{subject!r} is not enrolled; photos that were left are removed now")
    raise unknown(subject)


def erase(
    fleet: Fleet,
    subject: str,
    now_s: float,
    timeout_s: float,
    say: Say,
    publish: Publish | None = publish_changes,
    ask: Ask = receipts,
) -> ErasureReport:
    """Remove every trace of a person here, at the broker and on the devices; cannot be undone.

    Waits until each device has confirmed it, for `timeout_s` at most. Raises FleetError for an
    unknown person.
    """
    registry = fleet.registry()
    check_erasable(fleet, subject)
    # Photos are removed first: if this is interrupted, the person can still be erased again.
    Album(fleet).forget(subject)
    sequence = registry.erase(subject, now_s)
    if not registry.wiped:
        advice = "a later erasure wipes them"
        say(Notice("not wiped yet", "copies may be left in registry.db", advice))
    # Remove photos once more: somebody else may have enrolled the person in the meantime.
    forget_photos(fleet, subject, say)
    return _confirmed(fleet, sequence, timeout_s, say, publish, ask)


def confirm_erasures(
    fleet: Fleet,
    timeout_s: float,
    say: Say,
    publish: Publish | None = publish_changes,
    ask: Ask = receipts,
) -> ErasureReport:
    """Publish, and ask the devices to confirm every earlier erasure, for `timeout_s` at most."""
    sequence = fleet.registry().roster.sequence
    return _confirmed(fleet, sequence, timeout_s, say, publish, ask)


def _confirmed(
    fleet: Fleet, sequence: int, timeout_s: float, say: Say, publish: Publish | None, ask: Ask
) -> ErasureReport:
    delivery, devices = publish_change(fleet, say, publish), fleet.registry().devices
    pending = devices.pending_erasures()
    asked = waiting = devices.provisioned()
    if delivery.published and not pending:
        waiting = []
    elif delivery.published:
        try:
            found = ask(fleet, pending[-1], timeout_s)
            asked, waiting = found.asked, found.waiting
        except OstiaryError as error:
            say(Notice("cannot ask the devices", error.message, error.hint))
    return ErasureReport(sequence, delivery, asked, waiting, devices.pending_erasures())
