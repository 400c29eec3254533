"""Frames that cannot be looked at: the door denies, and the process ends if none can be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ostiary.edge.core.types import Reason
from ostiary.edge.daemon.decisions import Decisions
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import BackendError

log = logging.getLogger(__name__)

GIVE_UP_S = 10.0
"""After so long without a frame that could be looked at, the process ends to be started anew."""


class Faults:
    """Counts how long every frame has failed."""

    def __init__(
        self,
        decisions: Decisions,
        reporter: Reporter,
        cooldown_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The door says at most once in `cooldown_s` that it cannot see."""
        self._decisions, self._reporter = decisions, reporter
        self._cooldown_s, self._clock = cooldown_s, clock
        self._failing_since_s: float | None = None
        self._quiet_until_s = 0.0

    def passed(self) -> None:
        """A frame was looked at."""
        self._failing_since_s = None

    def failed(self, error: Exception) -> None:
        """A frame failed: deny, and raise BackendError if all have failed for `GIVE_UP_S`.

        A GPU that has failed once answers this process with errors for ever.
        """
        now = self._clock()
        if self._failing_since_s is None:
            self._failing_since_s = now
            log.error("a frame failed", exc_info=error)
        self._deny()
        if now - self._failing_since_s > GIVE_UP_S:
            raise BackendError(f"every frame has failed for {GIVE_UP_S:.0f} s: {error}")

    def _deny(self) -> None:
        now_s = self._decisions.now_s
        if now_s < self._quiet_until_s:
            return
        self._quiet_until_s = now_s + self._cooldown_s
        self._reporter.event("vision-failed", "see the log")
        self._decisions.deny(Reason.DEGRADED)
