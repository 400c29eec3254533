"""The connection of a door to its fleet's operator: the roster and commands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.learning import Learning
from ostiary.edge.adapters.mqtt.link import Link, Received
from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import COMMANDS, ROSTER
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.types import Frame
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.effects.throttle import EventThrottle
from ostiary.edge.errors import StoreError
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.remote.commands import Commander
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.stored import open_keys
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.sections import RosterSection
from ostiary.edge.vision.capture import Capture
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.wire import RosterTopics, Topics

NAMED = 5
PATIENCE_S, WRONG_S = 10.0, 300.0

Clock = Callable[[], float]


class Remote:
    """Follows the roster and commands from the loop; messages wait in two queues until then."""

    def __init__(
        self,
        config: Config,
        roster: RosterSection,
        pipeline: Pipeline,
        enrolled: Enrolled,
        moment: WallClock,
        recorder: Recorder,
        reporter: Reporter,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        """Add the stored subjects to the gallery at once.

        Raises ConfigError if a key is unusable, StoreError if the disk is.
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
            # This clock never goes back: otherwise an expired command could become valid again.
            lambda: moment.at_s,
        )
        bundle = pipeline.bundle
        self.learning: Learning | None = None
        if config.learning.enabled:
            rules, encoder = config.learning_rules(), bundle.encoder_id
            self.learning = Learning(
                rules, self._store, site, enrolled, encoder, lambda: moment.at_s, reporter
            )
        self._forget_unused(bundle.encoder_id if self.learning is not None else "")
        consents = None if self.learning is None else self.learning.consents
        searched = self.learning or enrolled
        self._members = Members(searched, bundle.encoder_id, bundle.dim, consents)
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

    def clears_by(self, clear: Callable[[], None]) -> None:
        """What an operator's `clear-lockout` calls."""
        self._commander.clears = clear

    def inbox(self, received: Received) -> None:
        """Take any message of the broker; called in the client's thread."""
        self._commander.put(received)
        self._mailbox.put(received)

    def turn(self, link: Link) -> None:
        """Carry out commands and follow the roster; called in each turn of the loop."""
        if link.connected and link.connection != self._connection:
            connection = link.connection
            if link.subscribe(self._commander.filters()):
                self._connection = connection
        self._commander.work(link)
        self._syncer.turn(link, self._clock())
        if self.learning is not None:
            self.learning.follow()
        self._follow()
        self._refusals.flush()

    def looked(self, frame: Frame | None) -> bool:
        """Give a frame to a running capture; if True, the door must not decide."""
        capturing = self._capture.active
        self._capture.look(frame)
        return capturing

    def may_change_over(self, changeover: Changeover) -> bool:
        """Whether the roster has enough templates for the next bundle to switch to it."""
        if changeover.successor is None or not self._syncer.complete:
            return False
        coverage = self._members.coverage
        # Count subject by subject only if the totals allow the switch.
        if coverage[changeover.successor] < coverage[changeover.active]:
            return False
        return changeover.due(coverage, changeover.needed(self._members.encoders()))

    def close(self) -> None:
        """Close the databases; every message taken is already on the disk."""
        self._store.close()
        self._nonces.close()

    def _follow(self) -> None:
        """Apply the newest head to the clock and to staleness; report tau and damaged templates."""
        self._moment.known(self._syncer.issued_at_s)
        if self._syncer.complete:
            self._complete_s = self._clock()
        # A store that cannot be written cannot keep a revocation: until it works again nobody
        # passes.
        self._enrolled.stale = self._syncer.failing_s(self._clock()) > PATIENCE_S or self._is_old()
        self._reporter.threshold(self._enrolled.tau)
        damaged = len(self._members.damaged)
        if damaged > self._damaged:
            names = ", ".join(sorted(self._members.damaged)[:NAMED])
            self._reporter.event("templates-damaged", f"{damaged}: {names}")
        self._damaged = damaged

    def _forget_unused(self, encoder: str) -> None:
        """Delete all samples, or only those of other encoders than `encoder`, from the disk.

        What an option that is off had gathered must not wait there to come back.
        """
        try:
            self._store.unlearn(kept=encoder)
        except StoreError as error:
            self._reporter.event("learning-failed", error.message)

    def _is_old(self) -> bool:
        """Whether the roster was last confirmed longer ago than the profile allows."""
        patience_s = self._roster.stale_after_s
        if not patience_s:
            return False
        if self._moment.behind_s > WRONG_S:
            # The clock is wrong, so that the age of the roster is unknown.
            return True
        # Completeness must be recent too: an attacker may send fresh heads but hold back records.
        since_s = self._clock() - self._complete_s
        return max(self._moment.at_s - self._syncer.issued_at_s, since_s) > patience_s
