"""A door without a roster: keeps the gallery equal to the store that other processes change."""

from __future__ import annotations

import logging

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import StoreError
from ostiary.edge.runtime.bundle import Bundle

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""An unreadable store may keep the gallery as it is for this long."""
NAMED = 5
"""The most subjects that one event names."""


class StoreFollower:
    """Reads the door's own store again whenever it has changed."""

    def __init__(
        self, store: Store, enrolled: Enrolled, reporter: Reporter, bundle: Bundle
    ) -> None:
        self._store, self._enrolled, self._reporter = store, enrolled, reporter
        self._bundle = bundle
        self._version = -1
        self._failed_s: float | None = None

    def follow(self, now: float) -> None:
        """Load the store's templates if the store has changed; `now` is monotonic seconds.

        If the store stays unreadable the gallery is emptied: a subject in it may have been removed
        from the store meanwhile, and the door could not know.
        """
        try:
            self._load()
            self._failed_s = None
        except StoreError as error:
            if self._failed_s is None:
                self._failed_s = now
                self._reporter.event("store-failed", error.message)
            elif now - self._failed_s > PATIENCE_S and len(self._enrolled.gallery):
                self._enrolled.load([])
                self._reporter.event("gallery-emptied", "the store cannot be read")

    def _load(self) -> None:
        version = self._store.version()
        if version == self._version:
            return
        encoder = self._bundle.encoder_id
        templates, damaged = self._store.templates(encoder, self._bundle.dim)
        unusable = self._store.unusable(encoder)
        self._enrolled.load(templates)
        # Store the version last, so that a failed read is tried again: otherwise a removal could be
        # missed for good.
        self._version = version
        log.info("searching %d templates", len(self._enrolled.gallery))
        self._report(damaged, unusable)

    def _report(self, damaged: list[str], unusable: list[str]) -> None:
        if damaged:
            self._reporter.event("templates-damaged", f"enroll again: {', '.join(damaged[:NAMED])}")
        if unusable:
            detail = f"{len(unusable)} subjects have templates of another encoder only"
            self._reporter.event("templates-unusable", detail)
        self._reporter.threshold(self._enrolled.tau)
