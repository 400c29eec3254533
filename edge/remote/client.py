"""The operator's side of a door that belongs to a fleet: its roster and its commands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.mqtt.link import Link, Received
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import COMMANDS, ROSTER
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config, Roster
from ostiary.edge.core.types import Frame
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import EventThrottle
from ostiary.edge.models.changeover import Succession
from ostiary.edge.remote.commands import Commander
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.stored import open_keys
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.vision.capture import Capture
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
        roster: Roster,
        pipeline: Pipeline,
        enrolled: Enrolled,
        moment: WallClock,
        recorder: Recorder,
        reporter: Reporter,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        """Lets in at once who was stored.

        Raises ConfigError where the keys are not usable, StoreError where the disk is not.
        """
        self._roster, self._enrolled = roster, enrolled
        self._moment, self._reporter, self._clock = moment, reporter, clock
        self._topics = Topics(config.device.site, config.device.id)
        self._refusals = EventThrottle(reporter, clock)
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
        self._members = Members(enrolled, bundle.encoder_id, bundle.dim)
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
        self._commander.work(link)
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
        self._enrolled.stale = self._syncer.failing_s(self._clock()) > PATIENCE_S or self._is_old()
        self._reporter.threshold(self._enrolled.tau)
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
