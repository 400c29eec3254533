"""When the next bundle replaces the one in use: once everybody has templates for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Changeover:
    """The encoder in use (`active`), and the next bundle's (`successor`) if the door waits for one.

    A door that has changed over, or has refused the next bundle, has no successor.
    """

    active: str = ""
    successor: str | None = None

    def due(self, coverage: Mapping[str, int], needed: int) -> bool:
        """Whether the door should restart with the next bundle.

        `coverage` counts the subjects with a template, by encoder; `needed` is what the method
        `needed` counts. Subjects without a template for either encoder do not matter: no bundle
        lets them in. False if nobody is enrolled: a new device could change over before its roster
        comes, which may lack templates.
        """
        if self.successor is None:
            return False
        return coverage.get(self.successor, 0) >= needed > 0

    def needed(self, encoders: Iterable[Collection[str]]) -> int:
        """How many subjects must have a template of the next encoder before the change-over.

        `encoders` holds, for every subject that counts, the encoders of the subject's templates.
        """
        return sum(1 for own in encoders if self.active in own or self.successor in own)

    def complete(self, encoders: Iterable[Collection[str]]) -> bool:
        """Like `due`, but `encoders` replaces both counts; it holds each subject's encoders, as in
        `needed`."""
        each = list(encoders)
        covered = sum(1 for own in each if self.successor in own)
        return self.due({self.successor or "": covered}, self.needed(each))
