"""The errors that an operator can fix."""

from __future__ import annotations

from ostiary.edge.errors import OstiaryError


class FleetError(OstiaryError):
    """The operator's request or the fleet's folder is wrong."""


class ChangedMeanwhile(FleetError):
    """Somebody else changed the registry after it was read; nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "somebody else changed the registry meanwhile; nothing was written", "try again"
        )
