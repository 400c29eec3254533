"""A camera that was tampered with: nobody is let in while it has a fault of the profile's list."""

from __future__ import annotations

from collections.abc import Collection

from ostiary.edge.core.types import Reason
from ostiary.edge.daemon.decisions import Decisions, Pause


class Tampered:
    """Denies whoever is seen while the pictures are not believed. What the operator commands is
    carried out all the same."""

    def __init__(self, decisions: Decisions, shut_on: Collection[str], cooldown_s: float) -> None:
        """`cooldown_s` is the least time between two denials for this reason."""
        self._shut_on = frozenset(shut_on)
        self._pause = Pause(decisions, cooldown_s)

    def shuts(self, faults: Collection[str]) -> bool:
        """True if one of these faults is a reason to let nobody in."""
        return not self._shut_on.isdisjoint(faults)

    def bars(self, faults: Collection[str], faces: int) -> bool:
        """The same, and denies if `faces` were seen."""
        shut = self.shuts(faults)
        if shut and faces:
            self._pause.deny(Reason.DEGRADED)
        return shut
