"""What templates learned, on the disk: it goes with its record, and is never more than allowed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge.adapters.storage import roster_store
from ostiary.edge.adapters.storage.roster_store import LearnedRow, RosterRow, RosterStore
from ostiary.edge.errors import StoreError

ENCODER, OTHER = "ab" * 32, "cd" * 32
SECRET = b"sample of alice " * 20


def sample(subject: str = "alice", revision: int = 1, at_s: float = 1.0, **more: str) -> LearnedRow:
    return LearnedRow(subject, revision, more.get("encoder", ENCODER), at_s, SECRET)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "roster.db"


@pytest.fixture
def store(path: Path) -> Iterator[RosterStore]:
    made = RosterStore(path)
    made.apply([RosterRow("alice", 1, b"a"), RosterRow("bob", 2, b"b")], [], b"head", "1")
    yield made
    made.close()


def test_a_sample_survives_a_crash(store: RosterStore, path: Path) -> None:
    assert store.learn(sample(), 5)
    again = RosterStore(path)  # no close: as after a kill
    assert again.learned() == again.learned("alice") == [sample()]
    assert (again.learned("bob"), again.learners()) == ([], {"alice"})
    again.close()


def test_the_oldest_samples_make_room(store: RosterStore) -> None:
    for day in range(7):
        store.learn(sample(at_s=day), 3)
        store.learn(sample("bob", 2, day), 3)
    assert [row.at_s for row in store.learned("alice")] == [4, 5, 6]
    assert [row.at_s for row in store.learned("bob")] == [4, 5, 6]


def test_nothing_is_learned_for_a_record_that_is_not_held(store: RosterStore) -> None:
    assert not store.learn(sample(revision=2), 5)
    assert not store.learn(sample("carol"), 5)
    assert store.learned() == []


@pytest.mark.parametrize("change", ["revision", "drop", "clear"])
def test_what_was_learned_goes_with_its_record_in_one_transaction(
    store: RosterStore, path: Path, change: str
) -> None:
    store.learn(sample(), 5)
    store.learn(sample("bob", 2), 5)
    if change == "revision":
        store.apply([RosterRow("alice", 3, b"without consent")], [], None, "2")
    elif change == "drop":
        store.apply([], ["alice"], None, "2")
    else:
        store.clear()
    assert store.learners() == (set() if change == "clear" else {"bob"})
    assert store.scrub()
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert (SECRET in held) == (change != "clear"), "bob's row alone may hold these bytes"


def test_a_change_that_fails_takes_nothing_away(store: RosterStore) -> None:
    store.learn(sample(), 5)
    broken = RosterRow("bob", 9, "text is no payload")  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.apply([RosterRow("alice", 3, b"newer"), broken], [], None, "2")
    assert store.learned() == [sample()]


def test_unlearning_leaves_no_trace_on_the_disk(store: RosterStore, path: Path) -> None:
    store.learn(sample(), 5)
    store.learn(sample(at_s=2.0), 5)
    assert store.unlearn("bob") == 0
    assert store.unlearn("alice") == 1
    assert store.learned() == []
    assert SECRET not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_all_is_unlearned_but_what_is_of_the_encoder_in_use(store: RosterStore) -> None:
    store.learn(sample(), 5)
    store.learn(sample("bob", 2, encoder=OTHER), 5)
    assert store.unlearn(kept=ENCODER) == 1
    assert store.learners() == {"alice"}
    assert store.unlearn() == 1


def test_another_process_is_noticed(store: RosterStore, path: Path) -> None:
    store.learn(sample(), 5)
    before = store.version()
    other = RosterStore(path)
    assert store.version() == before
    other.unlearn()
    other.close()
    assert store.version() != before


def test_a_store_of_the_version_before_is_taken_over(path: Path) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    for statement in roster_store.MIGRATIONS[0].split(";"):
        old.execute(statement)
    old.execute("INSERT INTO record VALUES ('alice', 1, x'00')")
    old.execute("PRAGMA user_version = 1")
    old.close()
    store = RosterStore(path)
    assert store.learn(sample(), 5)
    assert [row.subject for row in store.rows()] == ["alice"]
    store.close()


def test_a_disk_that_fails_is_named(store: RosterStore) -> None:
    store.close()
    for call in (
        lambda: store.learn(sample(), 5), store.learned, store.learners, store.unlearn,
        store.version,
    ):  # fmt: skip
        with pytest.raises(StoreError, match=r"roster\.db"):
            call()
