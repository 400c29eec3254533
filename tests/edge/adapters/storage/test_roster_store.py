"""The roster's store: changes are atomic and durable, deletions final, disk errors reported."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.errors import StoreError

ALICE, BOB = RosterRow("alice", 1, b"sealed alice" * 30), RosterRow("bob", 2, b"sealed bob" * 30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "roster.db"


def rows(store: RosterStore) -> list[RosterRow]:
    return sorted(store.rows(), key=lambda row: row.subject)


def test_a_new_store_holds_nothing(path: Path) -> None:
    store = RosterStore(path)
    assert (rows(store), store.head(), store.digest()) == ([], None, "")
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()


def test_applied_records_survive_a_crash(path: Path) -> None:
    store = RosterStore(path)
    store.apply([ALICE, BOB], [], b"head", "digest")
    # No close: as after a kill.
    again = RosterStore(path)
    assert (rows(again), again.head(), again.digest()) == ([ALICE, BOB], b"head", "digest")
    again.close()
    store.close()


def test_rows_replace_and_subjects_leave(path: Path) -> None:
    store = RosterStore(path)
    store.apply([ALICE, BOB], [], b"head", "1")
    newer = RosterRow("alice", 3, b"newer")
    store.apply([newer], ["bob", "nobody"], None, "2")
    assert (rows(store), store.head(), store.digest()) == ([newer], b"head", "2")
    store.apply([], [], b"newer head", "2")
    assert store.head() == b"newer head"
    store.close()


def test_a_change_is_applied_completely_or_not_at_all(path: Path) -> None:
    store = RosterStore(path)
    store.apply([ALICE], [], b"head", "1")
    broken = RosterRow("carol", 4, "text is no payload")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"roster\.db"):
        store.apply([BOB, broken], ["alice"], b"newer", "2")
    assert (rows(store), store.head(), store.digest()) == ([ALICE], b"head", "1")
    store.apply([BOB], [], None, "3")
    assert rows(store) == [ALICE, BOB]
    store.close()


def on_the_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_dropped_records_are_gone_from_the_disk(path: Path) -> None:
    store = RosterStore(path)
    store.apply([ALICE, BOB], [], b"head", "1")
    store.apply([], ["alice"], None, "2")
    store.scrub()
    assert ALICE.payload not in on_the_disk(path)
    assert BOB.payload in on_the_disk(path)
    store.apply([RosterRow("bob", 5, b"tombstone")], [], None, "3")
    store.scrub()
    assert BOB.payload not in on_the_disk(path)
    store.close()


def test_clear_deletes_everything_from_the_disk_too(path: Path) -> None:
    store = RosterStore(path)
    store.apply([ALICE, BOB], [], b"a head that is long enough to be found", "1")
    store.clear()
    assert (rows(store), store.head(), store.digest()) == ([], None, "")
    left = on_the_disk(path)
    for secret in (ALICE.payload, BOB.payload, b"a head that is long enough"):
        assert secret not in left
    store.close()


def test_every_call_names_a_disk_that_fails(path: Path) -> None:
    store = RosterStore(path)
    other = sqlite3.connect(path)
    for table in ("record", "head", "held"):
        other.execute(f"DROP TABLE {table}")
    other.close()
    calls = [
        lambda: store.apply([ALICE], [], None, ""),
        store.clear,
        store.head,
        store.digest,
        lambda: list(store.rows()),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"roster\.db"):
            call()  # type: ignore[no-untyped-call]
    store.close()
    with pytest.raises(StoreError):
        store.scrub()


def test_a_file_that_is_no_database_is_replaced_with_mends(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"roster\.db"):
        RosterStore(path)
    assert path.read_bytes() == b"no database" * 1000, "only who mends it may remove it"
    store = RosterStore(path, mends=True)
    assert (store.head(), list(store.rows())) == (None, [])
    store.close()


def test_a_file_that_cannot_be_opened_is_named_and_stays(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"roster\.db"):
        RosterStore(path, mends=True)
    assert path.is_dir()
