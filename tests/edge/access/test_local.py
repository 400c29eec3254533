"""The gallery follows the store, also through a read that fails."""

from dataclasses import dataclass, field
from typing import Any

from ostiary.edge.access.local import PATIENCE_S, StoreFollower
from ostiary.edge.core.scores.calibration import Threshold
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import StoreError
from tests.support.fakes import unit


class FakeStore:
    """Subjects, and whether the disk fails."""

    def __init__(self) -> None:
        self.subjects = ["alice", "bob"]
        self.fails = False
        self.changes = 0

    def version(self) -> int:
        return self.changes

    def templates(self, _encoder: str, _dim: int) -> tuple[list[tuple[str, Floats]], list[str]]:
        if self.fails:
            raise StoreError("disk I/O error")
        return [(s, unit([[1.0, 0.0]])) for s in self.subjects], []

    def unusable(self, _encoder: str) -> list[str]:
        return []


class FakeEnrolled:
    """Knows whom it was told to search."""

    def __init__(self) -> None:
        self.gallery: list[str] = []
        self.tau = Threshold(0.5, 2, 0.01, 0.01, True)

    def load(self, templates: list[tuple[str, Floats]]) -> None:
        self.gallery = [subject for subject, _ in templates]


@dataclass
class FakeReporter:
    events: list[str] = field(default_factory=list)

    def event(self, name: str, _detail: str = "") -> None:
        self.events.append(name)

    def threshold(self, _tau: object) -> None:
        """Not looked at."""


class FakeBundle:
    encoder_id, dim = "e", 2


def made() -> tuple[FakeStore, FakeEnrolled, FakeReporter, StoreFollower]:
    parts = FakeStore(), FakeEnrolled(), FakeReporter()
    given: tuple[Any, ...] = (*parts, FakeBundle())
    return (*parts, StoreFollower(*given))


def test_a_revocation_is_not_missed_when_a_read_fails() -> None:
    store, enrolled, reporter, follower = made()
    follower.follow(0.0)
    assert enrolled.gallery == ["alice", "bob"]
    store.subjects, store.changes, store.fails = ["alice"], 1, True
    follower.follow(1.0)
    assert reporter.events == ["store-failed"]
    store.fails = False
    follower.follow(2.0)
    assert enrolled.gallery == ["alice"]


def test_a_store_that_stays_unreadable_lets_nobody_in() -> None:
    store, enrolled, reporter, follower = made()
    follower.follow(0.0)
    store.changes, store.fails = 1, True
    follower.follow(1.0)
    follower.follow(PATIENCE_S)
    assert enrolled.gallery == ["alice", "bob"]
    follower.follow(PATIENCE_S + 2.0)
    assert enrolled.gallery == []
    assert reporter.events == ["store-failed", "gallery-emptied"]
    store.fails = False
    follower.follow(PATIENCE_S + 3.0)
    assert enrolled.gallery == ["alice", "bob"]


def test_an_unchanged_store_is_not_read_again() -> None:
    store, enrolled, _, follower = made()
    follower.follow(0.0)
    store.subjects = []
    follower.follow(1.0)
    assert enrolled.gallery == ["alice", "bob"]
