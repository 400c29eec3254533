"""A door without a roster: keeps the gallery equal to the store that other processes change."""

from __future__ import annotations

import logging

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.clock import WallClock
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import StoreError
from ostiary.edge.runtime.bundle import Bundle

log = logging.getLogger(__name__)

NAMED = 5
"""The most subjects that one event names."""


def load(store: Store, enrolled: Enrolled, bundle: Bundle, moment: WallClock) -> list[str]:
    """Search whom the store holds, with their rights, and nobody else. Returns the subjects whose
    template is damaged; they are not searched.

    The door's time is then never earlier than the store's last change: with a clock that starts in
    1970 nobody's access would ever end. Raises StoreError.
    """
    found, damaged = store.templates(bundle.encoder_id, bundle.dim)
    moment.known(store.changed_s())
    kept = {subject for subject, *_ in found}
    enrolled.change(found, [s for s in enrolled.gallery.subjects if s not in kept])
    return damaged


class StoreFollower:
    """Reads the door's own store again whenever it has changed."""

    def __init__(
        self,
        store: Store,
        enrolled: Enrolled,
        reporter: Reporter,
        bundle: Bundle,
        moment: WallClock,
    ) -> None:
        self._store, self._enrolled, self._reporter = store, enrolled, reporter
        self._bundle, self._moment = bundle, moment
        self._version: int | None = None
        self._failed = False

    def follow(self) -> None:
        """Load the store's subjects if the store has changed.

        While the store cannot be read the gallery is empty: a subject may have been suspended or
        removed meanwhile, and the door could not know.
        """
        try:
            self._load()
            self._failed = False
        except StoreError as error:
            self._empty(error)

    def _load(self) -> None:
        version = self._store.version()
        if version == self._version:
            return
        damaged = load(self._store, self._enrolled, self._bundle, self._moment)
        unusable = self._store.unusable(self._bundle.encoder_id)
        # Store the version last, so that a failed read is tried again: otherwise a removal could be
        # missed for good.
        self._version = version
        log.info("searching %d templates", len(self._enrolled.gallery))
        self._report(damaged, unusable)

    def _empty(self, error: StoreError) -> None:
        self._version = None
        if len(self._enrolled.gallery):
            self._enrolled.load([])
            self._reporter.threshold(self._enrolled.tau)
        if not self._failed:
            self._failed = True
            self._reporter.event("store-failed", error.message)
            self._reporter.event("gallery-emptied", "nobody passes until the store can be read")

    def _report(self, damaged: list[str], unusable: list[str]) -> None:
        if damaged:
            self._reporter.event("templates-damaged", f"enroll again: {', '.join(damaged[:NAMED])}")
        if unusable:
            detail = f"{len(unusable)} subjects have templates of another encoder only"
            self._reporter.event("templates-unusable", detail)
        self._reporter.threshold(self._enrolled.tau)
