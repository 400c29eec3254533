"""A roster's store, the gallery, and the learning between them, without models and network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.learning import Learning
from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.config import Config
from ostiary.edge.core.rules.access import Moment, Rights
from ostiary.edge.core.rules.learning import LearningRules
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.types import Floats, Probe
from ostiary.edge.roster.sealing import Site
from tests.support.fakes import curve, unit

DIM, ENCODER = 8, "ab" * 32
ALICE, BOB, SIDE, ASIDE = unit(np.eye(DIM)[:4])
CURVES = Curves({1: curve(start=0.3), 2: curve(start=0.35), 3: curve(start=0.35)}, {})
"""tau of one searched template of one photo is .5; its stricter tau is .7."""
DAY_S = 86400.0
SITE = Site(bytes(range(32)))


class Said:
    """What the reporter is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.learned = 0

    def event(self, name: str, detail: str = "") -> None:
        self.events.append(f"{name}: {detail}")

    def change(self, learned: int) -> None:
        self.learned = learned


class Door:
    """A roster's store, the gallery, and the learning between them; the test sets the time."""

    def __init__(self, folder: Path, samples: int = 3, site: Site = SITE) -> None:
        self.path, self._samples, self._site = folder / "roster.db", samples, site
        self.now_s, self.revision = 0.0, 0
        self.records: dict[str, tuple[int, Floats, bool]] = {}
        self.start()

    def start(self) -> None:
        """As at the start of the daemon: what is on the disk is all that is known."""
        raw = {
            "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"},
            "camera": {"url": "v4l2:"}, "state": {"path": "s"},
        }  # fmt: skip
        config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
        self.enrolled = Enrolled(DIM, CURVES, config, lambda: Moment(1e9, 0, 720))
        self.store, self.said = RosterStore(self.path), Said()
        rules, reporter = LearningRules(samples=self._samples), self.said
        self.learning = Learning(
            rules, self.store, self._site, self.enrolled, ENCODER, lambda: self.now_s,
            reporter,  # type: ignore[arg-type]
        )  # fmt: skip
        for subject, record in self.records.items():
            self._follow(subject, *record)

    def put(self, subject: str, template: Floats, consents: bool = True) -> None:
        """The roster has a new record of a subject."""
        self.revision += 1
        self.store.apply([RosterRow(subject, self.revision, b"sealed")], [], b"head", "digest")
        self.records[subject] = (self.revision, template, consents)
        self._follow(subject, *self.records[subject])

    def _follow(self, subject: str, revision: int, template: Floats, consents: bool) -> None:
        self.learning.consents(subject, revision if consents else 0)
        self.learning.change([(subject, template[None], Rights(), 1)], [])

    def drop(self, subject: str) -> None:
        self.store.apply([], [subject], None, "digest")
        del self.records[subject]
        self.learning.change([], [subject])

    def learn(self, subject: str, seen: Floats, days: float = 1.0) -> None:
        """A grant, some days after the one before."""
        self.now_s += days * DAY_S
        self.learning.learn(subject, Probe(seen, 8))

    def searched(self, subject: str) -> Any:
        found = self.enrolled.gallery.templates(subject)
        return None if found is None else found[0]

    def moved(self, subject: str, own: Floats) -> bool:
        """Whether the searched template is no longer the enrolled one."""
        return not np.array_equal(self.searched(subject), own)


def turned(own: Floats, score: float, aside: Floats = SIDE) -> Floats:
    return np.asarray(score * own + np.sqrt(1 - score**2) * aside, np.float32)
