"""Which decisions teach a template: grants to a face, once they are journaled, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.rules.evidence import Claim, Evidence, Mode
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.types import Candidate, Probe, Reason
from ostiary.edge.daemon.decisions import Decisions
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.vision.observer import Sighting
from tests.support.doors.commanding import House
from tests.support.fakes import face_at

SAMPLE = Probe(np.eye(8, dtype=np.float32)[0], 8)


class Taught:
    """Decisions with a real journal; `learned` lists who was taught."""

    def __init__(self, folder: Path, mode: Mode = Mode.IDENTIFY) -> None:
        self.house, self.learned = House(folder), list[str]()
        house = self.house
        recorder = Recorder(house.journal, house.door, house.reporter, house.wall, False)
        rules = Rules(mode=mode, votes=1, denials=1, require_pad=True)
        self.decisions = Decisions(rules, recorder, "e" * 64)
        self.decisions.learns = self._learns

    def _learns(self, subject: str, sample: Probe) -> None:
        assert sample is SAMPLE
        assert self.house.door.opened, "the door opens first"
        self.learned.append(subject)

    def see(
        self,
        score: float = 0.9,
        sample: Probe | None = SAMPLE,
        barred: Reason | None = None,
        shown: Presentation = Presentation.BONA_FIDE,
    ) -> None:
        found = (Candidate("alice", score),)
        evidence = Evidence(1, 0.5, 1, (), shown, found, barred)
        self.decisions.step(evidence, Sighting(evidence, face_at(0, 0), {}, sample))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Taught]:
    made = Taught(tmp_path)
    yield made
    made.house.close()


def test_a_grant_teaches_once(door: Taught) -> None:
    door.see()
    door.see()  # within the cooldown: no decision
    assert door.learned == ["alice"]


def test_a_grant_from_frames_that_are_not_fit_teaches_nothing(door: Taught) -> None:
    door.see(sample=None)
    assert (door.learned, door.house.door.opened) == ([], 1)


@pytest.mark.parametrize("barred", [Reason.SUSPENDED, Reason.ROSTER_STALE, Reason.NOT_HERE])
def test_who_may_not_pass_is_not_learned(door: Taught, barred: Reason) -> None:
    door.see(barred=barred)
    assert door.learned == []
    assert [said.reason for said in door.house.decisions()] == [barred]


def test_denials_and_attacks_teach_nothing(door: Taught) -> None:
    door.see(score=0.4)
    door.see(shown=Presentation.ATTACK)
    door.see(shown=Presentation.UNDECIDED)
    door.decisions.deny(Reason.DEGRADED)
    assert door.learned == []


def test_a_claim_teaches_when_it_is_granted(tmp_path: Path) -> None:
    door = Taught(tmp_path, Mode.VERIFY)
    door.decisions.step(Claim("alice", enrolled=True))
    assert door.learned == []
    door.see()
    assert door.learned == ["alice"]
    door.house.close()


def test_a_grant_that_was_not_journaled_teaches_nothing(door: Taught, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("DROP TABLE decision")
    database.close()
    door.see()
    assert door.learned == []
