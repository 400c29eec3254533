"""The whole content of a registry as a value, read from one and put into an empty one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import islice

from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.devices import Erasure
from ostiary.fleet.registry.person import Blobs, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.registry.roster import CHUNK
from ostiary.fleet.registry.trail import TrailEntry


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """A registry's content as of a sequence."""

    sequence: int
    people: Iterable[tuple[Person, Blobs]]
    erasures: Sequence[Erasure] = ()
    devices: Sequence[str] = ()
    trail: Sequence[TrailEntry] = ()


def contents_of(registry: Registry) -> Contents:
    """Everything in a registry. The people are streamed: use it within a `snapshot()`."""
    return Contents(
        registry.roster.sequence,
        _streamed(registry),
        registry.devices.erasures(),
        registry.devices.provisioned(),
        registry.trail.all(),
    )


def restore(registry: Registry, contents: Contents, now_s: float) -> None:
    """Fill an empty registry with the contents of another one, revisions included.

    The contents are not checked again. Raises FleetError if the registry is not empty.
    """
    with registry.edit(now_s) as edit:
        if edit.sequence:
            raise FleetError(
                f"{registry.path} is not empty: nothing was imported",
                "import into a new fleet: an import here could bring back revoked people",
            )
        # The registry that the contents come from may already have published all of them.
        edit.sequence = edit.attempted = contents.sequence
        for person, blobs in contents.people:
            edit.restore(person, blobs)
        edit.insert("INSERT INTO erasure VALUES (?, ?)", map(astuple, contents.erasures))
        devices = [(device, now_s) for device in contents.devices]
        edit.insert("INSERT INTO device VALUES (?, ?, 0)", devices)
        edit.insert(
            "INSERT INTO audit (at, who, what, subject, sequence) VALUES (?, ?, ?, ?, ?)",
            map(astuple, contents.trail),
        )
        edit.note("imported", None)


def _streamed(registry: Registry) -> Iterator[tuple[Person, Blobs]]:
    subjects = iter(sorted(registry.roster.entries()))
    while chunk := list(islice(subjects, CHUNK)):
        blobs = registry.people.blobs_among(chunk)
        for subject, person in sorted(registry.people.among(chunk).items()):
            yield person, blobs.get(subject, {})
