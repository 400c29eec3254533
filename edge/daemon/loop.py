"""The daemon's loop: analyse a frame, let policy decide, publish what is new."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.adapters.systemd import Notifier
from ostiary.edge.config import Config
from ostiary.edge.core.rules.evidence import Evidence, Mode, Tick
from ostiary.edge.core.types import Frame
from ostiary.edge.daemon.claims import Claims
from ostiary.edge.daemon.decisions import Decisions
from ostiary.edge.daemon.faults import Faults
from ostiary.edge.daemon.hanging import Hanging
from ostiary.edge.daemon.publishing import Publishing
from ostiary.edge.daemon.shutdown import Shutdown
from ostiary.edge.daemon.tampered import Tampered
from ostiary.edge.daemon.upkeep import Upkeep
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.errors import BackendError
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.remote.client import Remote
from ostiary.edge.vision.observer import Observer
from ostiary.edge.vision.pipeline import Pipeline

log = logging.getLogger(__name__)

WAIT_S = 0.1
"""The longest wait for a frame in one turn."""
CAMERA_S = 1.0
"""Seconds for closing the camera, out of all seconds for closing."""


@dataclass(frozen=True, slots=True, eq=False)
class DaemonParts:
    """The parts of a daemon, made by `assemble`. `lock` is the state folder's open descriptor."""

    config: Config
    lock: int
    store: Store
    journal: Journal
    pipeline: Pipeline
    changeover: Changeover
    enrolled: Enrolled
    observer: Observer
    camera: CameraReader
    reporter: Reporter
    decisions: Decisions
    claims: Claims | None
    remote: Remote | None
    link: Link | None
    publishing: Publishing
    upkeep: Upkeep


class Daemon:
    """One door, from the first frame to the last. `restart_wanted` asks for a new daemon."""

    def __init__(self, parts: DaemonParts, service: Notifier, shutdown: Shutdown) -> None:
        self._parts, self._service, self._shutdown = parts, service, shutdown
        rules = parts.config.rules()
        self._verify = rules.mode is Mode.VERIFY
        self._faults = Faults(parts.decisions, parts.reporter, rules.cooldown_s)
        camera = parts.config.camera
        self._hanging = Hanging(parts.decisions, parts.reporter, camera, rules.cooldown_s)
        self._tampered = Tampered(parts.decisions, camera.shut_on, rules.cooldown_s)
        self.restart_wanted = False

    def run(self) -> bool:
        """Watch the door until a signal, a wanted restart, or the end of a recording.

        False if a camera thread hangs, so that the process must exit without clean-up. Raises
        BackendError if every frame fails.
        """
        self._begin()
        camera = self._parts.camera
        try:
            while not (self._shutdown.wanted or camera.ended or self.restart_wanted):
                self._turn()
        except BackendError:
            self._close()
            raise
        if camera.ended:
            log.info("the recording has ended after %d frames", self._parts.reporter.frames)
        return self._close()

    def _begin(self) -> None:
        """Start the camera, and tell systemd that the door is ready: the models are proven."""
        parts = self._parts
        self._shutdown.saved = False
        parts.camera.start()
        log.info(
            "ready: %s on %s, %d templates, tau %.3f",
            parts.config.recognition.mode.value,
            parts.pipeline.backend,
            len(parts.enrolled.gallery),
            parts.enrolled.tau.tau,
        )
        self._service.ready(parts.reporter.summary())

    def _turn(self) -> None:
        parts = self._parts
        frame = parts.camera.next(WAIT_S)
        if frame is not None:
            parts.decisions.advance(frame.at_s)
        elif parts.config.camera.drop:
            parts.decisions.advance(time.monotonic())
        if parts.claims is not None:
            parts.claims.take()
        try:
            # A stream that is not believed must not enroll anybody either.
            shut = self._tampered.shuts(parts.camera.faults)
            taken = self._obey(None if shut else frame)
            if frame is not None and not taken:
                self._look(frame)
            else:
                parts.decisions.step(Tick())
            if frame is not None:
                self._faults.passed()
        except Exception as error:  # noqa: BLE001 - the door goes on, and says why it stays shut
            self._faults.failed(error)
        parts.publishing.pump()
        parts.upkeep.keep()
        self._service.status(parts.reporter.summary())
        self._service.turned()

    def _obey(self, frame: Frame | None) -> bool:
        """Follow the roster and carry out commands; True if a capture took the frame."""
        remote, link = self._parts.remote, self._parts.link
        if remote is None or link is None:
            return False
        remote.turn(link)
        # A command or a decision may hold the loop with the door's program: report alive after
        # each.
        self._service.turned()
        if remote.may_change_over(self._parts.changeover):
            log.info("everybody has a template of the next bundle: restarting with it")
            self.restart_wanted = True
        return remote.looked(frame)

    def _look(self, frame: Frame) -> None:
        began = time.perf_counter()
        decisions = self._parts.decisions
        if self._verify and decisions.claim is None:
            decisions.step(Tick(), None, frame)
            return
        sightings = self._parts.observer.observe(frame, decisions.claim)
        self._parts.reporter.spent((time.perf_counter() - began) * 1e3)
        self._parts.reporter.change(least_face_px=round(self._parts.observer.least_eye_px, 1))
        turn, faults = self._parts.observer.camera_turn, self._parts.camera.faults
        turned = self._hanging.bars(turn, len(sightings))
        if self._tampered.bars(faults, len(sightings)) or turned:
            sightings = []
        for sighting in sightings:
            if sighting.new_attack:
                self._parts.reporter.event("attack-seen", _told(sighting.evidence))
            decisions.step(sighting.evidence, sighting, frame, began)
        if not sightings:
            decisions.step(Tick(), None, frame)

    def _close(self) -> bool:
        """Close everything by one deadline; the goodbye comes last, since a dead broker delays it.

        False if the camera's thread hangs.
        """
        parts, left_s = self._parts, self._shutdown.left_s
        ended = parts.camera.close(min(CAMERA_S, left_s()))
        parts.publishing.drain(left_s)
        goodbye = parts.reporter.goodbye()
        if parts.claims is not None:
            parts.claims.close()
        parts.pipeline.close()
        if parts.remote is not None:
            parts.remote.close()
        parts.store.close()
        parts.journal.close()
        self._shutdown.saved = True
        parts.publishing.leave(goodbye, left_s())
        os.close(parts.lock)
        return ended


def _told(evidence: Evidence) -> str:
    """What the event of an attack says: the face's track, and the score of each kind of cue."""
    scores = ", ".join(f"{kind} {score:.2f}" for kind, score in evidence.cues.items())
    return f"track {evidence.track}: {scores}"
