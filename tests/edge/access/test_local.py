"""The gallery of a lone door follows the store: whom it holds, with which rights, or nobody."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.local import StoreFollower
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.types import Candidate, Reason, Template
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.runtime.bundle import Bundle
from tests.support.fakes import FakeClock, curves, unit

DIM = 4
ALICE, BOB, CAROL = unit(np.eye(DIM)[:3])
NOON = 1_800_000_000.0


@dataclass
class FakeReporter:
    events: list[str] = field(default_factory=list)
    k: int = -1

    def event(self, name: str, _detail: str = "") -> None:
        self.events.append(name)

    def threshold(self, tau: Any) -> None:
        self.k = tau.k


class FakeBundle:
    encoder_id, dim = "enc", DIM


class LoneDoor:
    """A daemon's half of a store, and that of the commands beside it."""

    def __init__(self, folder: Path, now: float = NOON) -> None:
        raw = {
            "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"},
            "camera": {"url": "v4l2:"}, "state": {"path": str(folder)},
        }  # fmt: skip
        config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
        self.path = folder / "store.db"
        self.commands, self.store = Store(self.path), Store(self.path)
        self.now, self.monotonic = FakeClock(), FakeClock()
        self.now.now = now
        moment = WallClock("", self.now, self.monotonic)
        self.enrolled = Enrolled(DIM, curves(), config, moment)
        self.reporter = FakeReporter()
        reporter, bundle = cast(Reporter, self.reporter), cast(Bundle, FakeBundle())
        self.follower = StoreFollower(self.store, self.enrolled, reporter, bundle, moment)

    def put(self, subject: str, embedding: Any) -> None:
        self.commands.put(Template(subject, "enc", embedding, 2), self.now())

    def change(self, subject: str, **fields: Any) -> None:
        row = self.commands.subject(subject)
        assert row is not None
        self.commands.change(replace(row, **fields), self.now())

    def barred(self, subject: str) -> Reason | None:
        return self.enrolled.barred((Candidate(subject, 1.0),))

    @property
    def searched(self) -> list[str]:
        return self.enrolled.gallery.subjects


@pytest.fixture
def door(tmp_path: Path) -> Iterator[LoneDoor]:
    made = LoneDoor(tmp_path)
    made.put("alice", ALICE)
    made.put("bob", BOB)
    made.follower.follow()
    yield made
    made.commands.close()
    made.store.close()


def failing(store: Store, name: str, broken: pytest.MonkeyPatch) -> None:
    """Let the disk fail under one of the store's reads."""

    def fail(*_: object) -> None:
        raise store._failed(sqlite3.OperationalError("disk I/O error"))

    broken.setattr(store, name, fail)


def test_whom_the_store_holds_is_searched_with_the_photos_of_each(door: LoneDoor) -> None:
    assert door.searched == ["alice", "bob"]
    assert door.enrolled.by_photos[2] == 2
    assert door.reporter.k == 2
    door.commands.remove("bob")
    door.put("carol", CAROL)
    door.follower.follow()
    assert door.searched == ["alice", "carol"]
    assert door.reporter.events == []


def test_a_suspension_bars_from_the_next_turn_on_and_resuming_ends_it(door: LoneDoor) -> None:
    assert door.barred("alice") is None
    door.change("alice", suspended=True)
    door.follower.follow()
    assert (door.barred("alice"), door.barred("bob")) == (Reason.SUSPENDED, None)
    assert door.searched == ["alice", "bob"], "who is suspended is still recognised"
    door.change("alice", suspended=False)
    door.follower.follow()
    assert door.barred("alice") is None


def test_access_ends_by_itself_while_the_store_stays_as_it_is(door: LoneDoor) -> None:
    door.change("alice", valid_until_s=NOON + 60)
    door.follower.follow()
    assert door.barred("alice") is None
    door.now.now = NOON + 60
    door.follower.follow()
    assert (door.barred("alice"), door.barred("bob")) == (Reason.EXPIRED, None)


def test_a_clock_that_starts_in_1970_lets_nobody_in_again(tmp_path: Path, door: LoneDoor) -> None:
    door.change("alice", valid_until_s=NOON + 60)
    door.now.now = NOON + 61
    door.change("bob", name="Bob")
    again = LoneDoor(tmp_path, now=5.0)
    again.follower.follow()
    assert (again.barred("alice"), again.barred("bob")) == (Reason.EXPIRED, None)


@pytest.mark.parametrize("read", ["version", "templates", "unusable", "changed_s"])
def test_while_the_store_cannot_be_read_nobody_passes(
    door: LoneDoor, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    door.change("alice", suspended=True)
    with monkeypatch.context() as broken:
        failing(door.store, read, broken)
        for _ in range(3):
            door.follower.follow()
            assert door.searched == []
    assert door.reporter.events == ["store-failed", "gallery-emptied"]
    assert door.reporter.k == 0
    door.follower.follow()
    assert door.searched == ["alice", "bob"]
    assert door.barred("alice") is Reason.SUSPENDED
    assert door.reporter.k == 2


def test_an_unchanged_store_that_could_not_be_read_for_a_moment_is_searched_again(
    door: LoneDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        failing(door.store, "version", broken)
        door.follower.follow()
    door.follower.follow()
    assert door.searched == ["alice", "bob"]


def test_a_store_that_was_moved_away_lets_nobody_in(door: LoneDoor) -> None:
    door.path.rename(door.path.with_name("away.db"))
    door.follower.follow()
    assert door.searched == []


def test_an_unchanged_store_is_not_read_again(
    door: LoneDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(door.store, "templates", monkeypatch)
    door.follower.follow()
    assert door.searched == ["alice", "bob"]
