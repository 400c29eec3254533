"""The gallery follows the store: what another process enrolls or forgets, the door knows."""

from __future__ import annotations

import logging

from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import StoreError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.observer import Observer

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
NAMED = 5


class Follower:
    """Reads the store again whenever it has changed."""

    def __init__(
        self, store: Store, observer: Observer, reporter: Reporter, bundle: Bundle
    ) -> None:
        self._store, self._observer, self._reporter = store, observer, reporter
        self._bundle = bundle
        self._version = -1
        self._failed_s: float | None = None

    def follow(self, now: float) -> None:
        """Take over the newest templates, with the tau for how many they are.

        With a store that stays unreadable the gallery is emptied: whom it holds may have been
        forgotten, and nobody could tell.
        """
        try:
            self._load()
            self._failed_s = None
        except StoreError as error:
            if self._failed_s is None:
                self._failed_s = now
                self._reporter.event("store-failed", error.message)
            elif now - self._failed_s > PATIENCE_S and len(self._observer.gallery):
                self._observer.load([])
                self._reporter.event("gallery-emptied", "the store can not be read")

    def _load(self) -> None:
        version = self._store.version()
        if version == self._version:
            return
        encoder = self._bundle.encoder_id
        templates, damaged = self._store.templates(encoder, self._bundle.dim)
        unusable = self._store.unusable(encoder)
        self._observer.load(templates)
        # Only now: a read that failed is tried again, or a revocation would be missed for good.
        self._version = version
        log.info("%d templates are searched", len(self._observer.gallery))
        self._report(damaged, unusable)

    def _report(self, damaged: list[str], unusable: list[str]) -> None:
        if damaged:
            self._reporter.event("templates-damaged", f"enroll again: {', '.join(damaged[:NAMED])}")
        if unusable:
            detail = f"{len(unusable)} subjects have templates of another encoder only"
            self._reporter.event("templates-unusable", detail)
        self._reporter.threshold(self._observer.tau)
