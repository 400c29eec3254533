"""Work beside the frames: follow the store at every turn; once a second trim the journal and send
telemetry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ostiary.edge.access.local import StoreFollower
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.config import Config
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import StoreError

log = logging.getLogger(__name__)

EVERY_S, TRIM_S = 1.0, 3600.0

Clock = Callable[[], float]


class Upkeep:
    """Called at every turn of the loop. The store is followed each time, so that nobody who was
    suspended before a frame passes by it; the rest is done about once a second."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        follower: StoreFollower | None,
        reporter: Reporter,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._config, self._journal = config, journal
        self._follower, self._reporter = follower, reporter
        self._clock, self._wall = clock, wall
        self._started = self._kept = self._telemetered = clock()
        self._trimmed = -TRIM_S

    def keep(self) -> None:
        """Do what is due."""
        if self._follower is not None:
            self._follower.follow()
        now = self._clock()
        if now - self._kept < EVERY_S:
            return
        self._kept = now
        try:
            self._trim(now)
            self._telemeter(now)
        except StoreError as error:
            log.error("%s", error)

    def _trim(self, now: float) -> None:
        if now - self._trimmed >= TRIM_S:
            self._trimmed = now
            kept = self._config.state
            self._journal.trim(self._wall() - kept.keep_days * 86400, kept.keep_rows)

    def _telemeter(self, now: float) -> None:
        every = self._config.mqtt.telemetry_s if self._config.mqtt else None
        if every is None or now - self._telemetered < every:
            return
        self._telemetered = now
        uptime = now - self._started
        pending = self._journal.pending_count()
        self._reporter.telemetry(uptime, self._reporter.frames / uptime, pending)
