"""What templates learned, read back from the disk: only what this door wrote is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostiary.edge.adapters.storage.roster_store import LearnedRow, RosterStore
from ostiary.edge.errors import StoreError
from ostiary.edge.roster.sealing import Site
from tests.support.doors.learner import ALICE, BOB, DIM, ENCODER, SITE, Door, turned


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    made.put("alice", ALICE)
    yield made
    made.store.close()


def stored(door: Door, body: bytes, encoder: str = ENCODER, site: Site = SITE) -> None:
    """Put a sample on the disk as somebody could who can write it."""
    topic = f"learned/alice/{ENCODER}/1"
    door.store.learn(LearnedRow("alice", 1, encoder, 1.0, site.close(topic, body)), 3)
    door.start()


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (turned(ALICE, 0.4).tobytes(), {}),
        ((2 * ALICE).tobytes(), {}),
        (np.full(DIM, np.nan, np.float32).tobytes(), {}),
        (ALICE.tobytes()[:-4], {}),
        (turned(ALICE, 0.8).tobytes(), {"site": Site(bytes(32))}),
        (turned(ALICE, 0.8).tobytes(), {"encoder": "cd" * 32}),
    ],
)
def test_a_sample_on_the_disk_that_this_door_did_not_write_is_not_used(
    door: Door, body: bytes, more: dict[str, Any]
) -> None:
    stored(door, body, **more)
    assert not door.moved("alice", ALICE)
    assert door.said.learned == 0


def test_a_sample_moved_to_another_subject_is_not_used(door: Door) -> None:
    door.put("bob", BOB)
    door.learn("alice", turned(ALICE, 0.8))
    (row,) = door.store.learned()
    door.store.learn(LearnedRow("bob", 2, ENCODER, 1.0, row.payload), 3)
    door.start()
    assert not door.moved("bob", BOB)
    assert any(event.endswith("moved") for event in door.said.events)


def test_the_disk_holds_no_sample_in_the_clear(door: Door) -> None:
    seen = turned(ALICE, 0.8)
    door.learn("alice", seen)
    held = b"".join(file.read_bytes() for file in door.path.parent.iterdir())
    assert seen.tobytes() not in held
    assert door.path.stat().st_mode & 0o777 == 0o600


def test_a_disk_that_fails_keeps_the_door_as_it_is(door: Door) -> None:
    door.store.close()
    door.learn("alice", turned(ALICE, 0.8))
    assert not door.moved("alice", ALICE)
    assert door.said.events[0].startswith("learning-failed: ")
    door.learning.follow()


def test_a_disk_that_fails_half_way_leaves_no_learned_template_behind(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.put("bob", BOB)
    door.learn("alice", turned(ALICE, 0.8))
    door.learn("bob", turned(BOB, 0.8))
    other = RosterStore(door.path)
    other.unlearn()
    other.close()
    read = RosterStore.learned

    def failing(store: RosterStore, subject: str = "") -> list[LearnedRow]:
        if subject == "bob":
            raise StoreError("the disk fails")
        return read(store, subject)

    monkeypatch.setattr(RosterStore, "learners", lambda _store: {"alice", "bob"})
    monkeypatch.setattr(RosterStore, "learned", failing)
    door.learning.follow()
    assert not door.moved("alice", ALICE)
    assert door.moved("bob", BOB)
    monkeypatch.undo()
    door.learning.follow()
    assert not door.moved("bob", BOB)
