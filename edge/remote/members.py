"""The roster's subjects as the gallery needs them: their rights, and templates of one encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.types import Floats
from ostiary.edge.roster.changes import Drop, Put
from ostiary.edge.roster.record import Record

UNIT_TOLERANCE = 1e-3


class Searched(Protocol):
    """The owner of a gallery, which receives the members' changes."""

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        """Take over each put subject's (n, dim) templates, rights, and photos per template (0 if
        unknown); forget the removed subjects."""


Consents = Callable[[str, int], None]
"""Called with each subject before its change, and with the revision of the record that consents to
learning; 0 without consent."""


class Members:
    """Counts subjects and passes changes on; only the gallery holds the templates themselves."""

    def __init__(
        self, searched: Searched, encoder: str, dim: int, consents: Consents | None = None
    ) -> None:
        self._searched, self.encoder, self._dim = searched, encoder, dim
        self._consents = consents
        self._encoders: dict[str, tuple[str, ...]] = {}
        self._kinds: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.coverage: Counter[str] = Counter()
        self.damaged: set[str] = set()

    def __len__(self) -> int:
        """The number of enrolled (not revoked) subjects, with or without a usable template."""
        return len(self._encoders)

    @property
    def usable(self) -> int:
        """The number of subjects with a good template of the encoder in use."""
        return self.coverage[self.encoder]

    def encoders(self) -> Iterable[tuple[str, ...]]:
        """The encoders of each subject's templates, including damaged templates."""
        return self._encoders.values()

    def follow(self, steps: Sequence[Put | Drop]) -> None:
        """Apply changes in their order; only the last one of each subject counts."""
        put: dict[str, tuple[str, Floats | None, Rights, int]] = {}
        removed: dict[str, None] = {}
        for step in steps:
            subject = step.subject if isinstance(step, Drop) else step.sealed.record.subject
            put.pop(subject, None)
            removed.pop(subject, None)
            self._forget(subject)
            if isinstance(step, Drop) or step.sealed.record.gone:
                removed[subject] = None
            else:
                record = step.sealed.record
                photos = record.photos.get(self.encoder, 0)
                put[subject] = (subject, self._template(record), record.rights(), photos)
                if self._consents is not None:
                    self._consents(subject, record.revision if record.learns else 0)
        if put or removed:
            self._searched.change(list(put.values()), list(removed))

    def _template(self, record: Record) -> Floats | None:
        """The (1, dim) template of the encoder in use; None if it is absent or damaged."""
        raw = record.templates.get(self.encoder)
        found = None if raw is None else self._checked(raw)
        if raw is not None and found is None:
            self.damaged.add(record.subject)
        encoders = tuple(sorted(record.templates))
        self._encoders[record.subject] = self._kinds.setdefault(encoders, encoders)
        self.coverage.update(self._good(record.subject, encoders))
        return found

    def _good(self, subject: str, encoders: tuple[str, ...]) -> list[str]:
        """`encoders`, without the encoder in use if the subject's template for it is damaged."""
        return [e for e in encoders if e != self.encoder or subject not in self.damaged]

    def _checked(self, raw: bytes) -> Floats | None:
        if len(raw) != 4 * self._dim:
            return None
        row = np.frombuffer(raw, "<f4").astype(np.float32)[None]
        # In float64 the square of no float32 overflows; the comparison is written so that it
        # refuses NaN.
        norm = float(np.linalg.norm(row.astype(np.float64)))
        return row if abs(norm - 1) < UNIT_TOLERANCE else None

    def _forget(self, subject: str) -> None:
        self.coverage.subtract(self._good(subject, self._encoders.pop(subject, ())))
        self.damaged.discard(subject)
