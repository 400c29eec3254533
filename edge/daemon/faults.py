"""Frames that raise errors: the door denies, and the process ends if every frame fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ostiary.edge.core.types import Reason
from ostiary.edge.daemon.decisions import Decisions, Pause
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import BackendError

log = logging.getLogger(__name__)

GIVE_UP_S = 10.0
"""Seconds of failures of every frame after which the process ends, to be restarted."""


class Faults:
    """Counts how long every frame has failed."""

    def __init__(
        self,
        decisions: Decisions,
        reporter: Reporter,
        cooldown_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cooldown_s` is the least time between two denials for this reason."""
        self._decisions, self._reporter = decisions, reporter
        self._pause, self._clock = Pause(decisions, cooldown_s), clock
        self._failing_since_s: float | None = None

    def passed(self) -> None:
        """Note that a frame was analysed without an error."""
        self._failing_since_s = None

    def failed(self, error: Exception) -> None:
        """Deny, and raise BackendError if every frame has failed for `GIVE_UP_S`.

        A GPU that failed once may return errors to this process for ever; a new process helps.
        """
        now = self._clock()
        if self._failing_since_s is None:
            self._failing_since_s = now
            log.error("a frame failed", exc_info=error)
        if self._pause.is_over():
            self._reporter.event("vision-failed", "see the log")
            self._decisions.deny(Reason.DEGRADED)
        if now - self._failing_since_s > GIVE_UP_S:
            raise BackendError(f"every frame has failed for {GIVE_UP_S:.0f} s: {error}")
