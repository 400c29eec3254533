"""The errors that an operator can mend."""

from __future__ import annotations

from ostiary.edge.errors import OstiaryError


class FleetError(OstiaryError):
    """Something is wrong with what the operator asked for, or with the fleet's folder."""


class ChangedMeanwhile(FleetError):
    """Somebody else changed the registry after it was read; nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "somebody else changed the registry meanwhile; nothing was written", "try again"
        )
