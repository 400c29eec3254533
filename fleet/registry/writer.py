"""The operator's truth of who is enrolled: every change is one number more, and durable."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from itertools import islice
from pathlib import Path

import msgspec

from ostiary.edge.adapters.storage.sqlite import atomic
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import StoreError
from ostiary.fleet.errors import ChangedMeanwhile, FleetError
from ostiary.fleet.registry.edit import Edit
from ostiary.fleet.registry.person import Blobs, Person, blobs_of, check, check_subject
from ostiary.fleet.registry.reader import CHUNK, Reader, unknown
from ostiary.fleet.registry.saved import Saved

Templates = Mapping[str, Floats]
"""(dim,) unit-norm float32 by encoder id."""


def os_user() -> str:
    """Who is at the keyboard, as the system knows and not as the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


class Registry(Reader):
    """Each changed subject raises `sequence` by one, which becomes its revision.

    One edit is one transaction: two operators wait for each other, and who waits too long is told.
    Somebody who read, thought for long and then writes passes as `seen` the sequence they read at:
    the edit is refused where anybody wrote meanwhile. `who` is named in the trail.
    """

    def __init__(self, path: Path, who: str | None = None, busy_s: float = 5.0) -> None:
        super().__init__(path, busy_s)
        self._who = who or os_user()
        self.wiped = True

    def put(
        self, person: Person, templates: Templates, now_s: float, seen: int | None = None
    ) -> int:
        """Enroll or change somebody; their revision, which is the old one where nothing differs.

        The templates given replace all that there were; none given leaves them. Who was revoked
        is enrolled again.
        """
        return self.put_many([(person, templates)], now_s, seen)[0]

    def put_many(
        self, items: Iterable[tuple[Person, Templates]], now_s: float, seen: int | None = None
    ) -> list[int]:
        """The same for many in one transaction: all of them or none."""
        with self._edit(now_s, seen) as edit:
            return [self._put(edit, person, blobs_of(given)) for person, given in items]

    def add_templates(self, subject: str, templates: Templates, now_s: float) -> int:
        """Add or replace the templates of some encoders beside the others there are."""
        return self.add_many([(subject, templates)], now_s)[0]

    def add_many(
        self, items: Iterable[tuple[str, Templates]], now_s: float, seen: int | None = None
    ) -> list[int]:
        """The same for many in one transaction."""
        with self._edit(now_s, seen) as edit:
            return [self._add(edit, subject, blobs_of(given)) for subject, given in items]

    def revoke(self, subject: str, now_s: float) -> int:
        """Leave a tombstone: templates are deleted, name and rights stay until `erase`."""
        with self._edit(now_s) as edit:
            old = self._known(subject)
            if old.gone:
                return old.revision
            edit.templates(subject, {})
            return edit.write(msgspec.structs.replace(old, gone=True), "revoked")

    def suspend(self, subject: str, now_s: float) -> int:
        """Let somebody in nowhere, for a while."""
        return self._set_suspended(subject, now_s, suspended=True)

    def resume(self, subject: str, now_s: float) -> int:
        """End a suspension."""
        return self._set_suspended(subject, now_s, suspended=False)

    def erase(self, subject: str, now_s: float) -> int:
        """Remove every trace of somebody, also from the trail; the sequence of the erasure.

        What is left is that somebody of a shard was erased, until `settle_erasure`; and where
        `wiped` is then False, copies in unused parts of the file.
        """
        with self._edit(now_s) as edit:
            self._known(subject)
            sequence = edit.erase(subject)
        # Deleted rows are wiped by now (secure_delete); copies in pages that were moved are not.
        # Where somebody else is at work, or the disk is full, this is left to a later erasure.
        self.wiped = False
        with contextlib.suppress(FleetError, StoreError):
            self._do("VACUUM")
            ((in_use, *_),) = self._all("PRAGMA wal_checkpoint(TRUNCATE)")
            self.wiped = not in_use
        return sequence

    def settle_erasure(self, sequence: int) -> None:
        """Every device has confirmed an erasure."""
        self._do("DELETE FROM erasure WHERE sequence = ?", sequence)

    def set_published(self, sequence: int) -> None:
        """The broker now equals the registry as of a sequence."""
        self._do("UPDATE counter SET value = ? WHERE name = 'published'", sequence)

    def attempt(self, sequence: int) -> None:
        """Note, before the first message, that all up to a sequence may be at the broker from now
        on. Also within a `snapshot()`, which does not see it."""
        if sequence <= self.attempted:
            return
        with contextlib.closing(Registry(self.path, self._who)) as beside:
            beside._do("UPDATE counter SET value = ? WHERE name = 'attempted'", sequence)

    def add_device(self, device: str, now_s: float) -> None:
        """Note a device that was provisioned; once is enough."""
        check_subject(device)
        added = "INSERT INTO device VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET removed = 0"
        self._do(added, device, now_s)

    def remove_device(self, device: str) -> None:
        """A device that is no more: nobody waits for its receipts, whatever the broker keeps."""
        check_subject(device)
        removed = "INSERT INTO device VALUES (?, 0, 1) ON CONFLICT DO UPDATE SET removed = 1"
        self._do(removed, device)

    def raise_sequence(self, above: int, now_s: float = 0.0) -> None:
        """Give every record a revision above a number: devices have seen a newer roster than this
        registry, restored from a backup, knows of."""
        with self._edit(now_s) as edit:
            edit.renumber(above)

    def restore(self, saved: Saved, now_s: float) -> None:
        """Make an empty registry equal to one that was saved, revisions and all.

        Raises FleetError where this one is not empty; what was saved is taken as checked.
        """
        with self._edit(now_s) as edit:
            if edit.sequence:
                raise FleetError(
                    f"{self.path} is not empty: nothing was imported",
                    "import into a new fleet; here it could bring back who was revoked",
                )
            # Whoever saved it may have published all of it.
            edit.sequence = edit.attempted = saved.sequence
            for person, blobs in saved.people:
                edit.restore(person, blobs)
            many = self._database.executemany
            many("INSERT INTO erasure VALUES (?, ?)", [astuple(e) for e in saved.erasures])
            many("INSERT INTO device VALUES (?, ?, 0)", [(d, now_s) for d in saved.devices])
            many(
                "INSERT INTO audit (at, who, what, subject, sequence) VALUES (?, ?, ?, ?, ?)",
                [astuple(entry) for entry in saved.trail],
            )
            edit.note("imported", None)

    def saved(self) -> Saved:
        """Everything there is, of one moment; its people are streamed, in a `snapshot()`."""
        return Saved(self.sequence, self._streamed(), self.erasures(), self.devices(), self.trail())

    def _streamed(self) -> Iterator[tuple[Person, Blobs]]:
        subjects = iter(sorted(self.entries()))
        while chunk := list(islice(subjects, CHUNK)):
            blobs = self.blobs_among(chunk)
            for subject, person in sorted(self.among(chunk).items()):
                yield person, blobs.get(subject, {})

    def _put(self, edit: Edit, person: Person, blobs: Blobs) -> int:
        old = self.person(person.subject)
        held = self.blobs_among([person.subject]).get(person.subject, {})
        blobs = blobs or held
        check(msgspec.structs.replace(person, gone=False), blobs)
        kept = old is not None and not old.gone
        new = msgspec.structs.replace(
            person,
            revision=old.revision if old else 0,
            gone=False,
            enrolled_at_s=old.enrolled_at_s if old and kept else edit.now_s,
            encoders=tuple(sorted(blobs)),
        )
        if old == new and blobs == held:
            return new.revision
        what = "enrolled" if old is None else "changed" if kept else "enrolled again"
        if kept and blobs != held:
            what = "given another template"
        revision = edit.write(new, what)
        if blobs != held:
            edit.templates(person.subject, blobs)
        return revision

    def _add(self, edit: Edit, subject: str, blobs: Blobs) -> int:
        old, held = self.present(subject), self.blobs_among([subject]).get(subject, {})
        together = {**held, **blobs}
        if together == held:
            return old.revision
        check(old, together)
        revision = edit.write(old, "given a template")
        edit.templates(subject, together)
        return revision

    def _set_suspended(self, subject: str, now_s: float, suspended: bool) -> int:
        with self._edit(now_s) as edit:
            old = self.present(subject)
            if old.suspended == suspended:
                return old.revision
            new = msgspec.structs.replace(old, suspended=suspended)
            return edit.write(new, "suspended" if suspended else "resumed")

    def _known(self, subject: str) -> Person:
        person = self.person(subject)
        if person is None:
            raise unknown(subject)
        return person

    def present(self, subject: str) -> Person:
        """Somebody who is enrolled and not revoked. Raises FleetError."""
        person = self._known(subject)
        if person.gone:
            raise FleetError(f"{subject!r} is revoked", "enroll them again, with --again")
        return person

    @contextlib.contextmanager
    def _edit(self, now_s: float, seen: int | None = None) -> Iterator[Edit]:
        with self._named(), atomic(self._database):
            edit = Edit(self._database, now_s, self._who)
            if seen is not None and seen != edit.sequence:
                raise ChangedMeanwhile
            yield edit
            edit.finish()

    def _do(self, statement: str, *values: object) -> None:
        with self._named():
            self._database.execute(statement, values)
