"""When a bundle to come takes the place of the one in use: once everybody has its templates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Succession:
    """The encoder in use, and the one that a bundle beside it would bring; None where none would.

    A door that has changed over, or was refused the bundle to come, has none: it waits for nothing.
    """

    active: str = ""
    successor: str | None = None

    def due(self, coverage: Mapping[str, int], needed: int) -> bool:
        """Whether the door should begin anew, with the bundle to come.

        `coverage` is how many subjects have a template, by encoder; `needed` how many have one of
        the encoder in use or of the one to come (`needed` below counts them). Who has neither
        passes with neither. Where nobody is enrolled nothing is known: a new device that changed
        over before its roster came would find half of it without templates.
        """
        if self.successor is None:
            return False
        return coverage.get(self.successor, 0) >= needed > 0

    def needed(self, encoders: Iterable[Collection[str]]) -> int:
        """How many subjects must have a template of the encoder to come.

        `encoders` are those of each subject's templates, for every subject that counts.
        """
        return sum(1 for own in encoders if self.active in own or self.successor in own)

    def complete(self, encoders: Iterable[Collection[str]]) -> bool:
        """`due`, counted here subject by subject."""
        each = list(encoders)
        covered = sum(1 for own in each if self.successor in own)
        return self.due({self.successor or "": covered}, self.needed(each))
