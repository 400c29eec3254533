"""The whole registry as a value: what an archive holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ostiary.fleet.registry.person import Blobs, Person
from ostiary.fleet.registry.reader import Entry, Erasure


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A registry as of a sequence: everybody with their templates, and what else it keeps."""

    sequence: int
    people: Iterable[tuple[Person, Blobs]]
    erasures: Sequence[Erasure] = ()
    devices: Sequence[str] = ()
    trail: Sequence[Entry] = ()
