"""Reads a door's roster from its own disk, without a broker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.learning import Learning
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import ROSTER
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.config import Config
from ostiary.edge.errors import ConfigError, SealError, StoreError
from ostiary.edge.keyfile import read_key
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.restore import open_head, open_row
from ostiary.edge.roster.changes import Put, Sealed
from ostiary.edge.roster.record import Head
from ostiary.edge.roster.replica import restored
from ostiary.edge.roster.sealing import Opener, Site
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.sections import RosterSection
from ostiary.edge.wire import RosterTopics


def stored(config: Config) -> list[Sealed]:
    """The records of the roster on the disk, tombstones too; nothing is changed.

    Records that cannot be opened are left out; the daemon reports them. Raises ConfigError or
    BundleError if a key is missing or unusable, StoreError if the disk cannot be read.
    """
    return _read(config)[1]


def load(config: Config, enrolled: Enrolled, bundle: Bundle) -> None:
    """Add everybody to `enrolled` whom the stored roster admits, with what their templates learned.
    Raises the errors of `stored`."""
    steps = [Put(sealed) for sealed in stored(config)]
    if config.roster is None or not config.learning.enabled:
        Members(enrolled, bundle.encoder_id, bundle.dim).follow(steps)
        return
    site = open_keys(config.roster)[0]
    with contextlib.closing(RosterStore(config.state.path / ROSTER)) as store:
        rules, encoder = config.learning_rules(), bundle.encoder_id
        learning = Learning(rules, store, site, enrolled, encoder, time.time)
        Members(learning, encoder, bundle.dim, learning.consents).follow(steps)


def encoders(config: Config, local: Store) -> Iterator[Collection[str]]:
    """The encoder ids of each enrolled subject's templates.

    They come from the roster if the profile has one, else from the door's own store. Nothing is
    given while a part of the roster is missing: people in that part would be ignored when the door
    decides to change bundles.
    """
    if config.roster is None:
        yield from (row.encoders for row in local.subjects())
        return
    try:
        head, sealed = _read(config)
    except StoreError:  # the daemon repairs the store, or reports it
        return
    records = [one.record for one in sealed]
    held = restored(head, {record.subject: record.revision for record in records})
    if head is not None and not held.unproven():
        yield from (tuple(record.templates) for record in records if not record.gone)


def _read(config: Config) -> tuple[Head | None, list[Sealed]]:
    """The newest head and the stored records, without those that cannot be opened."""
    assert config.roster is not None
    topics = RosterTopics(config.device.site)
    mailbox = Mailbox(topics, open_keys(config.roster)[1])
    with contextlib.closing(RosterStore(config.state.path / ROSTER)) as store:
        # Read everything quickly: while a reader is open, the daemon cannot wipe deleted records.
        payload, rows = store.head(), list(store.rows())
    try:
        head = open_head(topics, mailbox, payload or b"")
    except SealError:
        # Without a valid head nobody is let in.
        return None, []
    records = []
    for row in rows:
        with contextlib.suppress(SealError):
            records.append(open_row(topics, mailbox, row))
    return head, records


def open_keys(roster: RosterSection) -> tuple[Site, Opener]:
    """The site's key, and the opener of its operators' messages.

    Raises ConfigError if a key is missing, BundleError if an operator's key is malformed.
    """
    lost = "`ostiary-fleet provision` creates it, see docs/fleet.md"
    site = Site(read_key(roster.site_key, ConfigError, lost, ""))
    trusted = read_keys(roster.operators).trusted
    if not trusted:
        raise ConfigError(
            f"no operator's key (*.pub) in {roster.operators}",
            "`ostiary-fleet provision` adds it",
        )
    return site, Opener(site, [bytes.fromhex(key) for key in sorted(trusted)])
