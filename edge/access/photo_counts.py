"""How many of the searched templates were made from how many photos."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ostiary.edge.core.scores.curves import SEVERAL


class PhotoCounts:
    """Counts templates by photos per template, while subjects come and go.

    `by_photos` always has the keys 0 (unknown), 1, 2 and 3 (three or more).
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(range(SEVERAL + 1), 0)
        self.by_photos: Mapping[int, int] = MappingProxyType(self._counts)
        self._held: dict[str, tuple[int, int]] = {}
        self._kinds: dict[tuple[int, int], tuple[int, int]] = {}

    def put(self, subject: str, templates: int, photos: int) -> None:
        """Count a subject's templates, each made from so many photos (0 if unknown), in place of
        those that the subject had."""
        self.remove(subject)
        kind = (min(photos, SEVERAL), templates)
        # Equal pairs are stored once: a gallery may have 100,000 subjects.
        self._held[subject] = self._kinds.setdefault(kind, kind)
        self._counts[kind[0]] += templates

    def remove(self, subject: str) -> None:
        """Count a subject's templates no longer; an unknown subject changes nothing."""
        photos, templates = self._held.pop(subject, (0, 0))
        self._counts[photos] -= templates
