"""The registry, which is the authority on who is enrolled, and every edit of it."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ostiary.fleet.errors import ChangedMeanwhile
from ostiary.fleet.registry.database import BUSY_S, RegistryDatabase
from ostiary.fleet.registry.devices import DeviceReader
from ostiary.fleet.registry.edit import Edit
from ostiary.fleet.registry.people import PeopleReader
from ostiary.fleet.registry.person import (
    Blobs,
    Person,
    Templates,
    blobs_of,
    check,
    check_subject,
    photos_of,
)
from ostiary.fleet.registry.roster import RosterReader
from ostiary.fleet.registry.trail import TrailReader

CONSENTED = "consent to learning recorded"
WITHDREW = "consent to learning withdrawn"


def os_user() -> str:
    """The user of this process by its user id; environment variables are ignored."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


class Registry:
    """Owns the registry's file and edits it; `people`, `roster`, `trail` and `devices` read it.

    Each changed subject raises the roster's sequence by one, and that number becomes the subject's
    revision. One edit is one transaction: an operator waits up to `busy_s` for another one, then
    gets a FleetError. A caller who reads, works for long and then writes passes as `seen` the
    sequence they read at: the edit raises ChangedMeanwhile if anybody wrote since. `who` is the
    operator's name in the trail, by default the system's user.

    `wiped` is False if the last erasure left copies in unused parts of the file.
    """

    def __init__(self, path: Path, who: str | None = None, busy_s: float = BUSY_S) -> None:
        self.path = path
        self.wiped = True
        self._who = who or os_user()
        self._database = RegistryDatabase(path, busy_s)
        self.people = PeopleReader(self._database)
        self.roster = RosterReader(self._database, self.people)
        self.trail = TrailReader(self._database)
        self.devices = DeviceReader(self._database)

    def close(self) -> None:
        self._database.close()

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """A block whose reads all show the same state, whatever other processes write meanwhile.

        This registry cannot write in the block, except for `attempt`.
        """
        return self._database.snapshot()

    def put(
        self, person: Person, templates: Templates, now_s: float, seen: int | None = None
    ) -> int:
        """Enroll or change a person; returns the new revision, or the old one if nothing differs.

        The given templates replace all earlier ones; an empty mapping leaves these unchanged. A
        revoked person is enrolled again.
        """
        return self.put_many([(person, templates)], now_s, seen)[0]

    def put_many(
        self, items: Iterable[tuple[Person, Templates]], now_s: float, seen: int | None = None
    ) -> list[int]:
        """`put` for many people in one transaction: all of them or none."""
        with self.edit(now_s, seen) as edit:
            return [self._put(edit, person, blobs_of(given)) for person, given in items]

    def add_templates(self, subject: str, templates: Templates, now_s: float) -> int:
        """Add or replace templates of some encoders, keeping the others; returns the revision."""
        return self.add_many([(subject, templates)], now_s)[0]

    def add_many(
        self, items: Iterable[tuple[str, Templates]], now_s: float, seen: int | None = None
    ) -> list[int]:
        """`add_templates` for many people in one transaction: all of them or none."""
        with self.edit(now_s, seen) as edit:
            return [self._add(edit, subject, blobs_of(given)) for subject, given in items]

    def revoke(self, subject: str, now_s: float) -> int:
        """Delete a person's templates and mark the person as `gone`; returns the revision.

        The name and rights stay until `erase`.
        """
        with self.edit(now_s) as edit:
            old = self.people.known(subject)
            if old.gone:
                return old.revision
            edit.templates(subject, {})
            return edit.write(msgspec.structs.replace(old, gone=True), "revoked")

    def suspend(self, subject: str, now_s: float) -> int:
        """Bar a person from every door until `resume`; returns the revision."""
        return self._set_suspended(subject, now_s, suspended=True)

    def resume(self, subject: str, now_s: float) -> int:
        """End a suspension; returns the revision."""
        return self._set_suspended(subject, now_s, suspended=False)

    def erase(self, subject: str, now_s: float) -> int:
        """Remove every trace of a person, also from the trail; returns the erasure's sequence.

        Until `settle_erasure` the registry keeps only that a subject of the shard was erased.
        """
        with self.edit(now_s) as edit:
            self.people.known(subject)
            sequence = edit.erase(subject)
        # The rows themselves are already overwritten (secure_delete), but not copies in pages that
        # SQLite has moved. If these cannot be wiped now, the next erasure does it.
        self.wiped = False
        self.wiped = self._database.wipe()
        return sequence

    def settle_erasure(self, sequence: int) -> None:
        """Forget an erasure that every device has confirmed."""
        self._database.execute("DELETE FROM erasure WHERE sequence = ?", sequence)

    def set_published(self, sequence: int) -> None:
        """Note that the broker equals the registry as of a sequence."""
        self._database.execute("UPDATE counter SET value = ? WHERE name = 'published'", sequence)

    def attempt(self, sequence: int) -> None:
        """Note, before the first message is sent, that the broker may get changes up to a sequence.

        Works within a `snapshot()`, which does not show it.
        """
        if sequence <= self.roster.attempted:
            return
        with contextlib.closing(RegistryDatabase(self.path)) as beside:
            beside.execute("UPDATE counter SET value = ? WHERE name = 'attempted'", sequence)

    def add_device(self, device: str, now_s: float) -> None:
        """Note a device that was provisioned; a second call changes nothing."""
        check_subject(device)
        added = "INSERT INTO device VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET removed = 0"
        self._database.execute(added, device, now_s)

    def remove_device(self, device: str) -> None:
        """Remove a device from the fleet, known or not: no erasure waits for it any more."""
        check_subject(device)
        removed = "INSERT INTO device VALUES (?, 0, 1) ON CONFLICT DO UPDATE SET removed = 1"
        self._database.execute(removed, device)

    def raise_sequence(self, above: int, now_s: float = 0.0) -> None:
        """Give every person a revision above a number.

        Needed if devices hold a newer roster than a registry that was restored from a backup.
        """
        with self.edit(now_s) as edit:
            edit.renumber(above)

    @contextlib.contextmanager
    def edit(self, now_s: float, seen: int | None = None) -> Iterator[Edit]:
        """One edit as a transaction: all that the block writes, or nothing if it raises."""
        with self._database.transaction() as connection:
            edit = Edit(connection, now_s, self._who)
            if seen is not None and seen != edit.sequence:
                raise ChangedMeanwhile
            yield edit
            edit.finish()

    def _put(self, edit: Edit, person: Person, blobs: Blobs) -> int:
        old = self.people.get(person.subject)
        held = self.people.blobs_among([person.subject]).get(person.subject, {})
        blobs = blobs or held
        check(msgspec.structs.replace(person, gone=False), blobs)
        kept = old is not None and not old.gone
        new = msgspec.structs.replace(
            person,
            revision=old.revision if old else 0,
            gone=False,
            enrolled_at_s=old.enrolled_at_s if old and kept else edit.now_s,
            encoders=tuple(sorted(blobs)),
            photos=photos_of(blobs),
        )
        if old == new and blobs == held:
            return new.revision
        what = "enrolled" if old is None else "changed" if kept else "enrolled again"
        if kept and blobs != held:
            what = "given another template"
        revision = edit.write(new, what)
        if new.learns != (old is not None and kept and old.learns):
            edit.note(CONSENTED if new.learns else WITHDREW, person.subject)
        if blobs != held:
            edit.templates(person.subject, blobs)
        return revision

    def _add(self, edit: Edit, subject: str, blobs: Blobs) -> int:
        old = self.people.present(subject)
        held = self.people.blobs_among([subject]).get(subject, {})
        together = {**held, **blobs}
        if together == held:
            return old.revision
        check(old, together)
        revision = edit.write(old, "given a template")
        edit.templates(subject, together)
        return revision

    def _set_suspended(self, subject: str, now_s: float, suspended: bool) -> int:
        with self.edit(now_s) as edit:
            old = self.people.present(subject)
            if old.suspended == suspended:
                return old.revision
            new = msgspec.structs.replace(old, suspended=suspended)
            return edit.write(new, "suspended" if suspended else "resumed")
