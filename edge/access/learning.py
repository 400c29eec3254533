"""Templates that learn from sure grants; what they learned lies beside the roster, not in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.storage.roster_store import LearnedRow, RosterStore
from ostiary.edge.core.rules import learning
from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.rules.learning import LearningRules
from ostiary.edge.core.types import Floats, Probe
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import SealError, StoreError
from ostiary.edge.roster.sealing import Site

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Consenting:
    """The revision of a record that consents to learning, its enrolled template (dim,), and the
    photos that this was made from.

    The enrolled template is kept here and never read back from the gallery: there may lie a learned
    one, and what is sure must not be judged by that.
    """

    revision: int
    enrolled: Floats
    photos: int


@dataclass(frozen=True, slots=True, eq=False)
class _Learned:
    """The number of samples of a template, and when the newest was taken (seconds since 1970)."""

    samples: int
    last_s: float


class Learning:
    """Stands between the roster and the gallery: a template that has learned is searched in its
    effective form. The samples are on the disk alone; memory holds the enrolled templates of those
    who consent.

    The roster's store deletes the samples of a record together with it, so that nothing learned
    outlives the record, the consent in it, or the template that it was judged by.
    """

    def __init__(
        self,
        rules: LearningRules,
        store: RosterStore,
        site: Site,
        enrolled: Enrolled,
        encoder: str,
        wall: Callable[[], float],
        reporter: Reporter | None = None,
    ) -> None:
        """`encoder` is the id of the encoder in use; `wall` gives seconds since 1970."""
        self._rules, self._store, self._site = rules, store, site
        self._enrolled, self._encoder, self._wall = enrolled, encoder, wall
        self._reporter = reporter
        self._revisions: dict[str, int] = {}
        self._consenting: dict[str, _Consenting] = {}
        self._learned: dict[str, _Learned] = {}
        # A disk that cannot be read keeps no door down: people pass by their enrolled templates.
        self._version, self._learners = -1, set[str]()
        self._scrub = False
        self.follow()

    def consents(self, subject: str, revision: int) -> None:
        """Note the revision of a subject's record that consents to learning; 0 without consent. The
        next `change` uses it."""
        self._revisions[subject] = revision

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        """Pass changes of the roster on to `Enrolled.change`, each template in its effective form.

        `consents` comes first for each subject in `put`.
        """
        for subject in removed:
            self._consenting.pop(subject, None)
            self._learned.pop(subject, None)
        admitted = [self._admitted(*one) for one in put]
        self._revisions.clear()
        self._enrolled.change(admitted, removed)
        self._report()

    def learn(self, subject: str, sample: Probe) -> None:
        """Learn from a granted subject's probe, if its record consents, it is due and it is sure.

        A disk that fails is reported; the template stays as it is.
        """
        consenting, held = self._consenting.get(subject), self._learned.get(subject)
        last_s, now = None if held is None else held.last_s, self._wall()
        if consenting is None or not learning.is_due(self._rules, last_s, now):
            return
        if not self._is_sure(consenting.enrolled, sample):
            return
        topic = _topic(subject, self._encoder, consenting.revision)
        payload = self._site.close(topic, np.asarray(sample.embedding, "<f4").tobytes())
        row = LearnedRow(subject, consenting.revision, self._encoder, now, payload)
        try:
            # On the disk first: after a power cut the door searches what the disk holds.
            if not self._store.learn(row, self._rules.samples):
                return
            self._learners.add(subject)
            self._search([subject])
        except StoreError as error:
            self._tell_failed(error.message)
            return
        self._tell_learned(subject, consenting.enrolled)

    def follow(self) -> None:
        """Search what the disk holds if another process, `ostiary unlearn`, has changed it; call it
        at every turn of the loop."""
        try:
            if self._scrub:
                self._scrub = not self._store.scrub()
            version = self._store.version()
            if version == self._version:
                return
            self._learners = self._store.learners()
            self._search(list(self._learned))
            # Last, so that a failed read is tried again.
            self._version = version
        except StoreError:  # the syncer reports a store that fails, and nobody passes then
            return
        self._report()

    def _admitted(
        self, subject: str, templates: Floats | None, rights: Rights, photos: int
    ) -> tuple[str, Floats | None, Rights, int]:
        """A subject as the gallery gets it."""
        # What a changed record has deleted must be gone from the write-ahead log too.
        self._scrub |= self._learned.pop(subject, None) is not None
        self._consenting.pop(subject, None)
        revision = self._revisions.get(subject, 0)
        if not revision or templates is None or len(templates) != 1:
            return subject, templates, rights, photos
        self._consenting[subject] = _Consenting(revision, templates[0].copy(), photos)
        try:
            found, count = self._effective(subject)
        except StoreError as error:
            self._tell_failed(error.message)
            return subject, templates, rights, photos
        return subject, found[None], rights, count

    def _search(self, subjects: Sequence[str]) -> None:
        """Search what these consenting subjects' templates have become by what the disk holds.

        Raises StoreError; those read before it are searched all the same.
        """
        put = []
        try:
            for subject in subjects:
                found, count = self._effective(subject)
                put.append((subject, found[None], self._enrolled.rights[subject], count))
        finally:
            self._enrolled.change(put, [])
            self._report()

    def _effective(self, subject: str) -> tuple[Floats, int]:
        """The effective template (dim,), and the photos that it counts for. Raises StoreError."""
        by = self._consenting[subject]
        rows = self._store.learned(subject) if subject in self._learners else []
        mine = [r for r in rows if (r.encoder, r.revision) == (self._encoder, by.revision)]
        opened = [self._opened(row, by.enrolled) for row in mine]
        samples = [sample for sample in opened if sample is not None][-self._rules.samples :]
        self._learned.pop(subject, None)
        if samples:
            self._learned[subject] = _Learned(len(samples), max(row.at_s for row in mine))
        photos = learning.photos_of(by.photos, len(samples))
        return learning.effective(by.enrolled, samples, by.photos), photos

    def _opened(self, row: LearnedRow, own: Floats) -> Floats | None:
        """A stored sample (dim,); None, and an event, if it is not what this door has written."""
        try:
            body = self._site.open(_topic(row.subject, row.encoder, row.revision), row.payload)
        except SealError as error:
            self._tell_failed(f"{row.subject}: a sample on the disk: {error.reason}")
            return None
        if len(body) != 4 * len(own):
            return None
        sample = np.frombuffer(body, "<f4").astype(np.float32)
        is_unit = abs(float(np.linalg.norm(sample.astype(np.float64))) - 1) < UNIT_TOLERANCE
        # The bound on drift holds for what the disk says too.
        return sample if is_unit and float(own @ sample) >= learning.LEAST_SCORE else None

    def _is_sure(self, own: Floats, sample: Probe) -> bool:
        score = float(own.astype(np.float64) @ sample.embedding.astype(np.float64))
        tau = self._enrolled.stricter_tau(self._rules.stricter)
        return learning.is_sure(score, tau)

    def _tell_learned(self, subject: str, own: Floats) -> None:
        held, now = self._learned.get(subject), self._enrolled.gallery.templates(subject)
        if held is not None and now is not None and self._reporter is not None:
            kept = f"{held.samples} sample{'s' * (held.samples > 1)}"
            near = f"{float(now[0] @ own):.3f} to the enrolled template"
            self._reporter.event("template-learned", f"{subject}: {kept}, {near}")

    def _tell_failed(self, detail: str) -> None:
        if self._reporter is not None:
            self._reporter.event("learning-failed", detail)

    def _report(self) -> None:
        if self._reporter is not None:
            self._reporter.change(learned=len(self._learned))


def _topic(subject: str, encoder: str, revision: int) -> str:
    """What a sealed sample is bound to: it opens for no other subject, encoder or record."""
    return f"learned/{subject}/{encoder}/{revision}"
