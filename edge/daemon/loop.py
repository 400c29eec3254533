"""The daemon: builds everything, owns the loop, and journals a decision before the door moves."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from ostiary import __version__
from ostiary.edge.access.local import Follower
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.camera.sources import check_url, open_source
from ostiary.edge.adapters.claims import ClaimSource
from ostiary.edge.adapters.door.base import make_door
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.state_dir import JOURNAL, STORE, only_one
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.adapters.systemd import Notifier
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.policy import Claim, Tick
from ostiary.edge.core.types import SUBJECT, Decision, Frame, Outcome, Reason
from ostiary.edge.daemon.shutdown import Stopping
from ostiary.edge.daemon.upkeep import Housekeeper
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import BackendError, StoreError
from ostiary.edge.models.choose import choose_models
from ostiary.edge.remote.client import Remote, enrolled
from ostiary.edge.vision.observer import Observer, Sighting
from ostiary.edge.wire import StateMessage, Topics

log = logging.getLogger(__name__)

WAIT_S, GIVE_UP_S = 0.1, 10.0
CAMERA_S, GOODBYE_S, SPARE_S = 1.0, 1.5, 0.5
"""Of the time to close: the camera's, the goodbye's, and what of that is left for its last step."""

Shown = Callable[[Frame, Sighting | None, Decision, int], None]


class Daemon:
    """One door. Raises OstiaryError where it can not be built; later it reports and goes on."""

    def __init__(
        self, config: Config, service: Notifier, stopping: Stopping, shown: Shown | None = None
    ) -> None:
        """`shown` is called with the frame of every decision, for pictures of them."""
        self._config, self._shown = config, shown
        self._service, self._stopping = service, stopping
        self._started = time.monotonic()
        check_url(config.camera)
        folder = config.state.path
        self._lock = only_one(folder)
        self._store, self._journal = Store(folder / STORE), Journal(folder / JOURNAL)
        chosen = choose_models(config, lambda: enrolled(config, self._store))
        self._pipeline, self._succession = chosen.pipeline, chosen.succession
        moment = WallClock(config.access.timezone)
        self._observer = Observer(self._pipeline, config, moment=moment)
        self._claims = ClaimSource(config.claims.source) if config.claims else None
        self._rules, self._state = config.rules(), policy.State()
        self._topics = Topics(config.device.site, config.device.id)
        self._reporter = Reporter(self._topics, self._first_state(), time.time)
        door = make_door(config.door.action, config.door.timeout_s)
        unrecorded = config.state.without_journal == "open-unrecorded"
        self._recorder = Recorder(self._journal, door, self._reporter, time.time, unrecorded)
        self._camera = CameraReader(config.camera, open_source)
        self._last_s, self._failed_until = time.monotonic(), 0.0
        self._failing_s: float | None = None
        self._claim_problem, self._broker_problem = "", "never connected"
        for reason in chosen.refused:
            self._reporter.event("bundle-refused", reason)
        self._reporter.head(self._observer.least_logit)
        self.restart_wanted = False
        follower = self._remote = None
        if config.roster is None:
            follower = Follower(self._store, self._observer, self._reporter, self._pipeline.bundle)
            follower.follow(self._started)
        else:
            eyes = (self._pipeline, self._observer, moment)
            self._remote = Remote(config, config.roster, *eyes, self._recorder, self._reporter)
        self._house = Housekeeper(config, self._journal, follower, self._reporter)
        self._connect()

    def _first_state(self) -> StateMessage:
        return StateMessage(
            status="online",
            session=0,
            version=__version__,
            mode=self._rules.mode.value,
            backend=self._pipeline.backend,
            precision=self._pipeline.precision,
            refused_backends=self._pipeline.refused,
            encoder=self._pipeline.bundle.encoder_id,
            camera="opening",
            journal="ok",
        )

    def _connect(self) -> None:
        if self._config.mqtt is None:
            return
        device = self._config.device
        link = Link(
            self._config.mqtt,
            f"ostiary-{device.site}-{device.id}",
            self._topics.state,
            self._reporter.will,
            inbox=None if self._remote is None else self._remote.inbox,
        )
        # The high part counts starts, the low part connections: it never falls.
        link.start(self._store.count("start") << 20)
        self._reporter.link = link

    def run(self) -> bool:
        """Watch the door until a signal or the end of a recording.

        False where a camera thread hangs, so that the process must leave without clean-up.
        """
        self._begin()
        try:
            while not (self._stopping.wanted or self._camera.ended or self.restart_wanted):
                self._turn()
        except BackendError:
            self._close()
            raise
        if self._camera.ended:
            log.info("the recording has ended after %d frames", self._reporter.frames)
        return self._close()

    def _begin(self) -> None:
        """The models are proven and all is built: look, and say so."""
        self._stopping.saved = False
        self._camera.start()
        log.info(
            "ready in %.2f s: %s on %s, %d templates, tau %.3f",
            time.monotonic() - self._started,
            self._rules.mode.value,
            self._pipeline.backend,
            len(self._observer.gallery),
            self._observer.tau.tau,
        )
        self._service.ready(self._reporter.summary())

    def _turn(self) -> None:
        frame = self._camera.next(WAIT_S)
        # A frame may be older than the tick before it; policy's time never runs back.
        if frame is not None:
            self._last_s = max(self._last_s, frame.at_s)
        elif self._config.camera.drop:
            self._last_s = max(self._last_s, time.monotonic())
        self._take_claims()
        try:
            taken = self._obey(frame)
            if frame is not None and not taken:
                self._look(frame)
            else:
                self._step(Tick(), None, None)
            self._failing_s = None if frame is not None else self._failing_s
        except Exception as error:  # noqa: BLE001 - the door goes on, and says why it stays shut
            self._fail(error)
        self._pump()
        self._house.keep()
        self._service.status(self._reporter.summary())
        self._service.turned()

    def _obey(self, frame: Frame | None) -> bool:
        """What the operator wants, of the roster and of this door; whether that took the frame."""
        link = self._reporter.link
        if self._remote is None or link is None:
            return False
        self._remote.turn(link)
        # A command may have held the loop with the door's program, and a decision may again.
        self._service.turned()
        if self._remote.may_succeed(self._succession):
            log.info("everybody has a template of the bundle to come: starting anew with it")
            self.restart_wanted = True
        return self._remote.looked(frame)

    def _look(self, frame: Frame) -> None:
        began = time.perf_counter()
        claim = self._state.claim
        if self._rules.mode is policy.Mode.VERIFY and claim is None:
            self._step(Tick(), None, frame)
            return
        sightings = self._observer.observe(frame, claim)
        self._reporter.spent((time.perf_counter() - began) * 1e3)
        for sighting in sightings:
            self._step(sighting.evidence, sighting, frame, began)
        if not sightings:
            self._step(Tick(), None, frame)

    def _take_claims(self) -> None:
        if self._claims is None or self._config.claims is None:
            return
        for line in self._claims.poll():
            # First time: a claim that has run out is answered before the next one takes its place.
            self._step(Tick(), None, None)
            # With a table of cards a line is a card's number and nothing else.
            cards = self._config.claims.cards
            subject = cards.get(line, "") if cards else line.lower()
            known = subject in self._observer.gallery
            # What a reader sends is no subject's id until it looks like one.
            self._step(Claim(subject if SUBJECT.fullmatch(subject) else None, known), None, None)
        if self._claims.problem != self._claim_problem:
            self._claim_problem = self._claims.problem
            name = "claims-lost" if self._claim_problem else "claims-back"
            self._reporter.event(name, self._claim_problem)

    def _step(
        self,
        event: policy.Event,
        sighting: Sighting | None,
        frame: Frame | None,
        began: float | None = None,
    ) -> None:
        self._state, decision = policy.step(self._rules, self._state, event, self._last_s)
        if decision is not None:
            self._carry_out(decision, sighting, frame, began or time.perf_counter())

    def _fail(self, error: Exception) -> None:
        """Deny; and leave, to be started anew, once no frame has been looked at for long."""
        now = time.monotonic()
        if self._failing_s is None:
            self._failing_s = now
            log.error("a frame failed", exc_info=error)
        self._degraded()
        # A GPU that has failed once answers this process with errors for ever.
        if now - self._failing_s > GIVE_UP_S:
            raise BackendError(f"every frame has failed for {GIVE_UP_S:.0f} s: {error}")

    def _degraded(self) -> None:
        """Say at most once a cooldown that the door can not see."""
        if self._last_s < self._failed_until:
            return
        self._failed_until = self._last_s + self._rules.cooldown_s
        self._reporter.event("vision-failed", "see the log")
        decision = Decision(Outcome.DENIED, Reason.DEGRADED, self._state.claim)
        self._carry_out(decision, None, None, time.perf_counter())

    def _carry_out(
        self, decision: Decision, sighting: Sighting | None, frame: Frame | None, began: float
    ) -> None:
        spent = dict(sighting.spent_ms) if sighting else {}
        spent["total"] = (time.perf_counter() - began) * 1e3
        encoder = self._pipeline.bundle.encoder_id
        entry = self._recorder.carry_out(decision, self._rules.mode.value, encoder, spent)
        if entry is not None and frame is not None and self._shown is not None:
            self._shown(frame, sighting, decision, entry.seq)

    def _pump(self) -> None:
        fresh, link = False, self._reporter.link
        if link is not None:
            if link.problem != self._broker_problem:
                self._broker_problem = link.problem
                log.warning("broker: %s", link.problem or "connected")
            try:
                fresh = link.pump(self._journal, self._topics.decision)
            except StoreError as error:
                self._reporter.change(journal="failed")
                log.error("%s", error)
        for event in self._camera.events():
            self._reporter.event(event.event, event.detail)
        self._reporter.change(camera=self._camera.status)
        self._reporter.flush(fresh)

    def _close(self) -> bool:
        """Everything by one deadline; the goodbye last, since a dead broker may hold it up."""
        left_s = self._stopping.left_s
        ended = self._camera.close(min(CAMERA_S, left_s()))
        self._flush_journal()
        goodbye = self._reporter.goodbye()
        if self._claims is not None:
            self._claims.close()
        self._pipeline.close()
        if self._remote is not None:
            self._remote.close()
        self._store.close()
        self._journal.close()
        self._stopping.saved = True
        if self._reporter.link is not None:
            self._reporter.link.stop(goodbye, max(0.0, left_s() - SPARE_S))
        os.close(self._lock)
        return ended

    def _flush_journal(self) -> None:
        """Give the broker a moment to take what is on its way; the rest is sent next time."""
        link = self._reporter.link
        while link is not None and link.connected and self._stopping.left_s() > GOODBYE_S:
            self._pump()
            if not self._journal.pending_count():
                return
            time.sleep(0.01)
