"""The keys of a door that follows a roster: present, readable, and which operators they trust."""

from __future__ import annotations

from ostiary.edge.remote.stored import open_keys
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import Check, ok, skipped

NAME = "roster"


def check(door: DoorUnderTest) -> Check:
    """Check the site's and the operators' keys. Raises OstiaryError if one is missing or bad.

    The roster's store is not opened: it belongs to the daemon, which reports records that it
    cannot open with the event `roster-refused`.
    """
    if door.profile is None or door.profile.roster is None:
        return skipped(NAME, "the profile has no [roster]: people are enrolled on this device")
    roster = door.profile.roster
    open_keys(roster)
    operators = sorted(key[:16] for key in read_keys(roster.operators).trusted)
    return ok(
        NAME, f"the site's key, and the keys of {len(operators)} operators", operators=operators
    )
