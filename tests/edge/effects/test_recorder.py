"""What opens the door: a grant, and only one that is journaled, unless the profile says so."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ostiary.edge.core.types import Decision, Outcome, Reason
from ostiary.edge.effects.recorder import Recorder, describe
from tests.support.doors.commanding import House

GRANT = Decision(Outcome.GRANTED, Reason.MATCHED, "alice")
DENIAL = Decision(Outcome.DENIED, Reason.UNKNOWN)


def recorder(house: House, *, unrecorded: bool = False) -> Recorder:
    return Recorder(house.journal, house.door, house.reporter, house.wall, unrecorded)


@pytest.mark.parametrize(("decision", "opened"), [(GRANT, 1), (DENIAL, 0)])
def test_a_grant_opens_and_a_denial_does_not(
    tmp_path: Path, decision: Decision, opened: int
) -> None:
    house = House(tmp_path)
    entry = recorder(house).carry_out(decision, "identify", "e", {"total": 1.0})
    assert entry is not None
    assert (house.door.opened, len(house.decisions())) == (opened, 1)
    house.close()


@pytest.mark.parametrize(
    ("decision", "unrecorded", "opened"),
    [(GRANT, False, 0), (GRANT, True, 1), (DENIAL, True, 0)],
)
def test_without_a_journal_the_profile_decides(
    tmp_path: Path, decision: Decision, unrecorded: bool, opened: int
) -> None:
    house = House(tmp_path)
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("DROP TABLE decision")
    database.close()
    made = recorder(house, unrecorded=unrecorded)
    assert made.carry_out(decision, "identify", "e", {}) is None
    assert house.door.opened == opened
    ((event, detail),) = house.reporter.events
    assert event == "journal-failed"
    assert ("opens unrecorded" in detail) == bool(opened)
    house.close()


def test_what_the_head_said_is_journaled_and_in_the_line(tmp_path: Path) -> None:
    house = House(tmp_path)
    decision = Decision(
        Outcome.DENIED, Reason.MISMATCH, "alice", 0.41, 0.3, 1, 7, 0.1234567, 0.9321
    )
    recorder(house).carry_out(decision, "verify", "e", {})
    (written,) = house.decisions()
    assert (written.probability, written.least_probability) == (0.1234567, 0.9321)
    assert (written.score, written.tau) == (0.41, 0.3)
    assert describe(decision).endswith("score 0.410 tau 0.300 K 1 probability 0.1235 of 0.9321")
    assert "probability" not in describe(GRANT)
    house.close()
