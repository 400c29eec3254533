"""The trail of changes: what was done, by which operator, and to whom."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.fleet.registry.database import RegistryDatabase

TRAIL = "SELECT at, who, what, subject, sequence FROM audit"


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """An entry of the trail; `subject` is None if it names nobody, as after an erasure."""

    at_s: float
    who: str
    what: str
    subject: str | None
    sequence: int


class TrailReader:
    """Reads the trail of changes."""

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database

    def all(self) -> list[TrailEntry]:
        """Every entry, oldest first."""
        return [TrailEntry(*row) for row in self._database.query(TRAIL + " ORDER BY id")]

    def of(self, subject: str) -> list[TrailEntry]:
        """The entries about one subject, oldest first."""
        rows = self._database.query(TRAIL + " WHERE subject = ? ORDER BY id", subject)
        return [TrailEntry(*row) for row in rows]
