"""The keys of a door that follows a fleet's roster: there, readable, and whose."""

from __future__ import annotations

from ostiary.edge.remote.client import open_keys
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import Check, ok, skipped

NAME = "roster"


def check(door: DoorUnderTest) -> Check:
    """Raises OstiaryError, which says what is missing. The store is left alone: it is the daemon's,
    and the event `roster-refused` says what of it can not be opened."""
    if door.profile is None or door.profile.roster is None:
        return skipped(NAME, "no [roster]: people are enrolled at this door")
    roster = door.profile.roster
    open_keys(roster)
    operators = sorted(key[:16] for key in read_keys(roster.operators).trusted)
    return ok(NAME, f"the site's key, and {len(operators)} operators", operators=operators)
