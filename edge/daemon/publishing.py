"""What leaves the device at each turn: the journal's entries, events, and the state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import StoreError

log = logging.getLogger(__name__)

GOODBYE_S, SPARE_S = 1.5, 0.5
"""Seconds kept for the goodbye at closing, and the part of them for disconnecting."""


class Publishing:
    """Sends the journal and the reporter's messages over the link; without a broker, to the log
    only."""

    def __init__(
        self,
        link: Link | None,
        journal: Journal,
        decision_topic: str,
        camera: CameraReader,
        reporter: Reporter,
    ) -> None:
        self._link, self._journal, self._topic = link, journal, decision_topic
        self._camera, self._reporter = camera, reporter
        self._problem = "never connected"

    def pump(self) -> None:
        """Send what is new. If the journal cannot be read, the state message says so; nothing is
        raised."""
        fresh = False
        if self._link is not None:
            self._tell(self._link.problem)
            try:
                fresh = self._link.pump(self._journal, self._topic)
            except StoreError as error:
                self._reporter.change(journal="failed")
                log.error("%s", error)
        for event in self._camera.events():
            self._reporter.event(event.event, event.detail)
        self._reporter.change(camera=self._camera.status, camera_faults=self._camera.faults)
        self._reporter.flush(fresh)

    def drain(self, left_s: Callable[[], float]) -> None:
        """Wait a moment for the broker to take pending entries; the next start sends the rest."""
        while self._link is not None and self._link.connected and left_s() > GOODBYE_S:
            self.pump()
            if not self._journal.pending_count():
                return
            time.sleep(0.01)

    def leave(self, goodbye: bytes, left_s: float) -> None:
        """Replace the will by a goodbye and disconnect, within the time that is left."""
        if self._link is not None:
            self._link.stop(goodbye, max(0.0, left_s - SPARE_S))

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("broker: %s", problem or "connected")
