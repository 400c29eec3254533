"""Templates that learn: who may, from what, what is searched then, and how it is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.core.rules.learning import LEAST_COSINE
from tests.support.doors.learner import ALICE, ASIDE, BOB, DIM, SIDE, Door, turned
from tests.support.fakes import unit


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    made.put("alice", ALICE)
    yield made
    made.store.close()


def test_a_sure_grant_brings_the_template_nearer_and_is_told(door: Door) -> None:
    later = turned(ALICE, 0.8)
    door.learn("alice", later)
    assert float(door.searched("alice") @ later) == pytest.approx(np.sqrt(0.9), abs=1e-4)
    assert float(door.searched("alice") @ ALICE) == pytest.approx(np.sqrt(0.9), abs=1e-4)
    assert door.said.events == ["template-learned: alice: 1 sample, 0.949 to the enrolled template"]
    assert door.said.learned == 1


@pytest.mark.parametrize("score", [0.5, 0.69])
def test_a_grant_that_is_not_sure_teaches_nothing(door: Door, score: float) -> None:
    door.learn("alice", turned(ALICE, score))
    assert not door.moved("alice", ALICE)
    assert door.said.events == []
    assert door.store.learned() == []


def test_sureness_is_judged_by_the_enrolled_template_alone(door: Door) -> None:
    door.learn("alice", turned(ALICE, 0.75))
    farther = turned(ALICE, 0.6)
    assert float(door.searched("alice") @ farther) > 0.8, "by the learned one it would be sure"
    door.learn("alice", farther)
    assert len(door.store.learned()) == 1


def test_without_consent_nothing_is_learned(door: Door) -> None:
    door.put("bob", BOB, consents=False)
    door.learn("bob", turned(BOB, 0.9))
    door.learn("nobody", turned(BOB, 0.9))
    assert (door.store.learned(), door.said.events) == ([], [])


def test_one_sample_in_twenty_hours_and_the_oldest_makes_room(door: Door) -> None:
    door.learn("alice", turned(ALICE, 0.8))
    door.learn("alice", turned(ALICE, 0.9), days=0.5)
    assert len(door.store.learned()) == 1
    # Three are kept, so that the sample to the side is gone in the end.
    for _ in range(3):
        door.learn("alice", turned(ALICE, 0.8, ASIDE))
    assert len(door.store.learned()) == 3
    assert float(door.searched("alice") @ SIDE) == pytest.approx(0, abs=1e-6)
    assert door.said.events[-1].startswith("template-learned: alice: 3 samples, ")


def test_a_restart_and_a_cut_of_the_power_change_nothing(door: Door) -> None:
    door.learn("alice", turned(ALICE, 0.8))
    before = door.searched("alice")
    door.start()  # the store was not closed
    assert np.array_equal(door.searched("alice"), before)
    assert door.said.learned == 1
    door.learn("alice", turned(ALICE, 0.9), days=0.5)
    assert len(door.store.learned()) == 1, "the day counts across a restart"


def test_tau_counts_a_sample_as_a_photo(door: Door) -> None:
    before = door.enrolled.tau.tau
    door.learn("alice", turned(ALICE, 0.8))
    assert dict(door.enrolled.by_photos) == {0: 0, 1: 0, 2: 1, 3: 0}
    assert door.enrolled.tau.tau == pytest.approx(before + 0.05)
    for _ in range(4):
        door.learn("alice", turned(ALICE, 0.9))
    assert dict(door.enrolled.by_photos) == {0: 0, 1: 0, 2: 0, 3: 1}


@pytest.mark.parametrize("new", ["withdrawn", "template", "same"])
def test_a_changed_record_takes_what_was_learned_away_at_once(door: Door, new: str) -> None:
    door.learn("alice", turned(ALICE, 0.8))
    template = BOB if new == "template" else ALICE
    door.put("alice", template, consents=new != "withdrawn")
    assert not door.moved("alice", template)
    assert (door.store.learned(), door.said.learned) == ([], 0)
    assert dict(door.enrolled.by_photos)[1] == 1
    door.learning.follow()
    assert door.path.with_name("roster.db-wal").stat().st_size == 0, "gone from the disk too"
    door.start()
    assert not door.moved("alice", template)


def test_a_removed_subject_leaves_nothing(door: Door) -> None:
    door.learn("alice", turned(ALICE, 0.8))
    door.drop("alice")
    assert door.searched("alice") is None
    assert (door.store.learned(), door.said.learned) == ([], 0)
    door.learn("alice", turned(ALICE, 0.8))
    assert door.store.learned() == []


def test_another_process_takes_it_back_and_the_door_follows(door: Door) -> None:
    door.put("bob", BOB)
    door.learn("alice", turned(ALICE, 0.8))
    door.learn("bob", turned(BOB, 0.8))
    other = RosterStore(door.path)
    other.unlearn("alice")
    other.close()
    door.learning.follow()
    assert not door.moved("alice", ALICE)
    assert door.moved("bob", BOB)
    assert door.said.learned == 1
    door.learn("alice", turned(ALICE, 0.9))
    assert door.moved("alice", ALICE), "it may learn again"


def test_whatever_is_granted_day_by_day_the_template_stays_near(door: Door) -> None:
    drawn = np.random.default_rng(3)
    learned = 0
    for _ in range(100):
        aside = drawn.normal(size=DIM)
        aside -= (aside @ ALICE) * ALICE
        score = float(drawn.uniform(0.4, 1))
        door.learn("alice", turned(ALICE, score, unit(aside[None])[0]))
        learned += door.moved("alice", ALICE)
        assert float(door.searched("alice") @ ALICE) >= LEAST_COSINE
    assert learned > 70
