"""The operator's side of a door that belongs to a fleet: its roster and its commands."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator

from ostiary.edge.adapters.mqtt.link import Link, Received
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import COMMANDS, ROSTER
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config, RosterSection
from ostiary.edge.core.types import Frame
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import Refusals
from ostiary.edge.errors import ConfigError, SealError, StoreError
from ostiary.edge.keyfile import read_key
from ostiary.edge.models.changeover import Succession
from ostiary.edge.remote.commands import Commander
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.restore import open_head, open_row
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.roster.changes import Put, Sealed
from ostiary.edge.roster.record import Head
from ostiary.edge.roster.replica import restored
from ostiary.edge.roster.sealing import Opener, Site
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.vision.capture import Capture
from ostiary.edge.vision.observer import Observer
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.wire import RosterTopics, Topics

NAMED = 5
PATIENCE_S, WRONG_S = 10.0, 300.0

Clock = Callable[[], float]


class Remote:
    """Called by the loop at every turn; what comes meanwhile waits in two boxes."""

    def __init__(
        self,
        config: Config,
        roster: RosterSection,
        pipeline: Pipeline,
        observer: Observer,
        moment: WallClock,
        recorder: Recorder,
        reporter: Reporter,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        """Lets in at once who was stored.

        Raises ConfigError where the keys are not usable, StoreError where the disk is not.
        """
        self._config, self._roster, self._observer = config, roster, observer
        self._moment, self._reporter, self._clock = moment, reporter, clock
        self._topics = Topics(config.device.site, config.device.id)
        self._refusals = Refusals(reporter, clock)
        self._nonces = Nonces(config.state.path / COMMANDS)
        self._store = RosterStore(config.state.path / ROSTER, mends=True)
        site, opener = open_keys(roster)
        self._mailbox = Mailbox(RosterTopics(config.device.site), opener)
        self._capture = Capture(pipeline, config, clock)
        self._commander = Commander(
            self._topics,
            site,
            opener,
            self._nonces,
            recorder,
            self._capture,
            reporter,
            self._refusals,
            # A command that was held back is not good again where the clock is.
            lambda: moment.at_s,
        )
        bundle = pipeline.bundle
        self._members = Members(observer, bundle.encoder_id, bundle.dim)
        self._syncer = Syncer(
            RosterTopics(config.device.site),
            self._topics.roster,
            self._mailbox,
            self._store,
            self._members,
            self._refusals.say,
            wall,
        )
        self._connection, self._damaged = 0, 0
        self._complete_s = -math.inf
        self._follow()

    def inbox(self, received: Received) -> None:
        """Called in the client's thread with everything that comes."""
        self._commander.put(received)
        self._mailbox.put(received)

    def turn(self, link: Link) -> None:
        """Do what the operator asks, and follow the roster."""
        if link.connected and link.connection != self._connection:
            connection = link.connection
            if link.subscribe(self._commander.filters()):
                self._connection = connection
        self._commander.work()
        self._syncer.turn(link, self._clock())
        self._follow()
        self._refusals.flush()

    def looked(self, frame: Frame | None) -> bool:
        """Whether somebody is being enrolled at the door, so that nothing is decided meanwhile."""
        capturing = self._capture.active
        self._capture.look(frame)
        return capturing

    def may_succeed(self, succession: Succession) -> bool:
        """Whether everybody has a template of the bundle to come, as far as the operator says."""
        if succession.successor is None or not self._syncer.complete:
            return False
        coverage = self._members.coverage
        # Counted one by one only where the two counts do not say no already.
        if coverage[succession.successor] < coverage[succession.active]:
            return False
        return succession.due(coverage, succession.needed(self._members.encoders()))

    def close(self) -> None:
        """Nothing is lost: what was taken is on the disk."""
        self._store.close()
        self._nonces.close()

    def _follow(self) -> None:
        """What the newest head means for the clock and for who may pass, and what to report."""
        self._moment.known(self._syncer.issued_at_s)
        if self._syncer.complete:
            self._complete_s = self._clock()
        # A store that can not be written follows no revocation: nobody is let in meanwhile.
        self._observer.stale = self._syncer.failing_s(self._clock()) > PATIENCE_S or self._is_old()
        self._reporter.threshold(self._observer.tau)
        damaged = len(self._members.damaged)
        if damaged > self._damaged:
            names = ", ".join(sorted(self._members.damaged)[:NAMED])
            self._reporter.event("templates-damaged", f"{damaged}: {names}")
        self._damaged = damaged

    def _is_old(self) -> bool:
        """Whether nobody has confirmed the roster for longer than the profile allows."""
        patience_s = self._roster.stale_after_s
        if not patience_s:
            return False
        if self._moment.behind_s > WRONG_S:
            # The clock is wrong, and so nobody knows how long ago it was.
            return True
        # A fresh head says nothing where the records that it wants are kept back.
        since_s = self._clock() - self._complete_s
        return max(self._moment.at_s - self._syncer.issued_at_s, since_s) > patience_s


def stored(config: Config) -> list[Sealed]:
    """The records that a door's roster holds on the disk, tombstones too; nothing is changed.

    What can not be opened is left out: the daemon says so. Raises as `Remote`.
    """
    return _read(config)[1]


def load(config: Config, observer: Observer, bundle: Bundle) -> None:
    """Let an observer search what a door's roster holds on the disk, without a broker."""
    members = Members(observer, bundle.encoder_id, bundle.dim)
    members.follow([Put(sealed) for sealed in stored(config)])


def enrolled(config: Config, local: Store) -> Iterator[Collection[str]]:
    """The encoders of each enrolled subject's templates: of the roster, or of this door alone."""
    if config.roster is None:
        yield from (row.encoders for row in local.subjects())
        return
    try:
        head, sealed = _read(config)
    except StoreError:  # the daemon mends it, or says so
        return
    records = [one.record for one in sealed]
    held = restored(head, {record.subject: record.revision for record in records})
    # Counted only where all of it is there: else who is still to come would be left behind.
    if head is not None and not held.unproven():
        yield from (tuple(record.templates) for record in records if not record.gone)


def _read(config: Config) -> tuple[Head | None, list[Sealed]]:
    """The newest head and the records on the disk, as far as they can be opened."""
    assert config.roster is not None
    topics = RosterTopics(config.device.site)
    mailbox = Mailbox(topics, open_keys(config.roster)[1])
    with contextlib.closing(RosterStore(config.state.path / ROSTER)) as store:
        # All at once: a daemon can not clean its disk while somebody reads there.
        payload, rows = store.head(), list(store.rows())
    try:
        head = open_head(topics, mailbox, payload or b"")
    except SealError:
        # Without a head that counts nobody is let in.
        return None, []
    records = []
    for row in rows:
        with contextlib.suppress(SealError):
            records.append(open_row(topics, mailbox, row))
    return head, records


def open_keys(roster: RosterSection) -> tuple[Site, Opener]:
    """The site, and what opens its operators' messages.

    Raises ConfigError where a key is missing, BundleError where an operator's is none.
    """
    lost = "`ostiary-fleet provision` makes it: docs/fleet.md"
    site = Site(read_key(roster.site_key, ConfigError, lost, ""))
    trusted = read_keys(roster.operators).trusted
    if not trusted:
        raise ConfigError(
            f"no operator's key (*.pub) in {roster.operators}", "`ostiary-fleet provision` puts it"
        )
    return site, Opener(site, [bytes.fromhex(key) for key in sorted(trusted)])
