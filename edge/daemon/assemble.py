"""Builds a daemon from a profile: models first, then people, then camera, broker and door."""

from __future__ import annotations

import logging
import time

from ostiary import __version__
from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.local import StoreFollower
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.camera.sources import check_url, open_source
from ostiary.edge.adapters.claims import ClaimSource
from ostiary.edge.adapters.door.base import make_door
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.lockouts import LockoutFile
from ostiary.edge.adapters.storage.state_dir import JOURNAL, STORE, only_one
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.adapters.systemd import Notifier
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.daemon.claims import Claims
from ostiary.edge.daemon.decisions import Decisions, Shown
from ostiary.edge.daemon.loop import Daemon, DaemonParts
from ostiary.edge.daemon.publishing import Publishing
from ostiary.edge.daemon.shutdown import Shutdown
from ostiary.edge.daemon.upkeep import Upkeep
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter, lost
from ostiary.edge.models.choose import choose_models
from ostiary.edge.remote import stored
from ostiary.edge.remote.client import Remote
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.wire import StateMessage, Topics

log = logging.getLogger(__name__)

NO_UPRIGHT = "the bundle has no upright.json: turned faces are compared too; build it again"
NO_COVERED = "the bundle has no covered.json: covered faces are compared too; build it again"


def assemble(
    config: Config, service: Notifier, shutdown: Shutdown, shown: Shown | None = None
) -> Daemon:
    """The daemon of a profile, its models proven. `shown` gets the frame of every decision.

    Raises OstiaryError if the daemon cannot be built; faults after that are reported, and it goes
    on.
    """
    began = time.monotonic()
    check_url(config.camera)
    folder = config.state.path
    lock = only_one(folder)
    store, journal = Store(folder / STORE), Journal(folder / JOURNAL)
    chosen = choose_models(config, lambda: stored.encoders(config, store))
    moment = WallClock(config.access.timezone)
    enrolled = open_enrolled(chosen.pipeline, config, moment)
    topics = Topics(config.device.site, config.device.id)
    reporter = Reporter(topics, first_state(config, chosen.pipeline, enrolled), time.time)
    for reason in chosen.refused:
        reporter.event("bundle-refused", reason)
    for warning in chosen.pipeline.bundle.manifest.warnings:
        reporter.event("bundle-warning", warning)
    if chosen.pipeline.bundle.upright is None:
        reporter.event("bundle-warning", NO_UPRIGHT)
    if chosen.pipeline.bundle.covered is None:
        reporter.event("bundle-warning", NO_COVERED)
    reporter.group(config.recognition.tau, enrolled.curves.group)
    reporter.head(enrolled.least_logit)
    recorder = open_recorder(config, journal, reporter)
    observer = Observer(chosen.pipeline, config, enrolled)
    decisions = Decisions(
        config.rules(),
        recorder,
        chosen.pipeline.bundle.encoder_id,
        shown,
        LockoutFile(folder, time.time),
    )
    decisions.holds = observer.hold
    # Before the roster is opened: a bad URL in the profile is then told without touching the disk.
    claims = open_claims(config, enrolled, decisions, reporter)
    follower = remote = None
    if config.roster is None:
        follower = StoreFollower(store, enrolled, reporter, chosen.pipeline.bundle, moment)
        follower.follow()
    else:
        eyes = (chosen.pipeline, enrolled, moment)
        remote = Remote(config, config.roster, *eyes, recorder, reporter)
        remote.clears_by(decisions.clear_lockouts)
        if remote.learning is not None:
            decisions.learns = remote.learning.learn
    link = open_link(config, topics, remote)
    if link is not None:
        reporter.connect(link)
    camera = CameraReader(config.camera, open_source)
    parts = DaemonParts(
        config=config,
        lock=lock,
        store=store,
        journal=journal,
        pipeline=chosen.pipeline,
        changeover=chosen.changeover,
        enrolled=enrolled,
        observer=observer,
        camera=camera,
        reporter=reporter,
        decisions=decisions,
        claims=claims,
        remote=remote,
        link=link,
        publishing=Publishing(link, journal, topics.decision, camera, reporter),
        upkeep=Upkeep(config, journal, follower, reporter),
    )
    if link is not None:
        # The high bits count starts and the low bits connections, so that a session number never
        # falls.
        link.start(store.count("start") << 20)
    log.info("assembled in %.2f s", time.monotonic() - began)
    return Daemon(parts, service, shutdown)


def first_state(config: Config, pipeline: Pipeline, enrolled: Enrolled) -> StateMessage:
    """The state message before the first frame."""
    return StateMessage(
        status="online",
        session=0,
        version=__version__,
        mode=config.recognition.mode.value,
        backend=pipeline.backend,
        precision=pipeline.precision,
        refused_backends=pipeline.refused,
        encoder=pipeline.bundle.encoder_id,
        tau_group=enrolled.curves.group,
        camera="opening",
        journal="ok",
        warnings=tuple(pipeline.bundle.manifest.warnings),
    )


def open_recorder(config: Config, journal: Journal, reporter: Reporter) -> Recorder:
    """The recorder, with the door that the profile names. Raises ConfigError for a bad action."""
    door = make_door(config.door.action, config.door.timeout_s)
    unrecorded = config.state.without_journal == "open-unrecorded"
    return Recorder(journal, door, reporter, time.time, unrecorded)


def open_claims(
    config: Config, enrolled: Enrolled, decisions: Decisions, reporter: Reporter
) -> Claims | None:
    """The claims of the profile's reader; None without one. Raises ConfigError for a bad URL."""
    if config.claims is None:
        return None
    source = ClaimSource(config.claims.source)
    return Claims(source, config.claims.cards, enrolled, decisions, reporter)


def open_link(config: Config, topics: Topics, remote: Remote | None) -> Link | None:
    """The link to the profile's broker, not started; None without a broker. Raises ConfigError."""
    if config.mqtt is None:
        return None
    name = f"ostiary-{config.device.site}-{config.device.id}"
    inbox = None if remote is None else remote.inbox
    return Link(config.mqtt, name, topics.state, lost, inbox=inbox)
