"""What can go wrong at the operator's desk."""

from __future__ import annotations

from ostiary.edge.errors import OstiaryError


class FleetError(OstiaryError):
    """The operator must mend what they asked for, or the fleet's folder."""


class ChangedMeanwhile(FleetError):
    """Somebody else wrote to the registry since it was read: nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "somebody else changed the registry meanwhile; nothing was written", "try again"
        )
