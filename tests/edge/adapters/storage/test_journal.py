"""The journal: durable, chained, in order, and trimmed only of acknowledged entries."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.errors import StoreError


def fill(journal: Journal, count: int, at: float = 0.0) -> None:
    for number in range(count):
        journal.append(at + number, lambda seq: f"decision {seq}".encode())


def test_the_sequence_has_no_gap_and_outlives_the_process(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j.db")
    fill(first, 3)
    first.close()
    second = Journal(tmp_path / "j.db")
    fill(second, 2)
    assert [e.seq for e in second.entries()] == [1, 2, 3, 4, 5]
    assert second.entries()[3].payload == b"decision 4"
    assert second.broken_at() is None


def test_pending_are_the_unacknowledged_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    fill(journal, 6)
    journal.acknowledge([1, 2, 4])
    assert [e.seq for e in journal.pending(0, 10)] == [3, 5, 6]
    assert [e.seq for e in journal.pending(3, 1)] == [5]
    assert journal.pending_count() == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE decision SET payload = x'00' WHERE seq = 3",
        "DELETE FROM decision WHERE seq = 3",
        "UPDATE decision SET hash = x'00' WHERE seq = 3",
    ],
)
def test_a_changed_row_breaks_the_chain(tmp_path: Path, change: str) -> None:
    journal = Journal(tmp_path / "j.db")
    fill(journal, 5)
    database = sqlite3.connect(tmp_path / "j.db")
    database.execute(change)
    database.commit()
    database.close()
    assert journal.broken_at() in (3, 4)


def test_trimming_never_drops_unacknowledged_entries(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    fill(journal, 10)
    assert journal.trim(older_than=1e9, most_rows=1) == 0
    journal.acknowledge([1, 2, 3, 5, 6])
    assert journal.trim(older_than=1e9, most_rows=100) == 3
    assert [e.seq for e in journal.entries()] == [4, 5, 6, 7, 8, 9, 10]
    assert journal.broken_at() is None


def test_trimming_by_age_and_by_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    fill(journal, 10)
    journal.acknowledge(list(range(1, 11)))
    assert journal.trim(older_than=4.0, most_rows=100) == 4
    assert journal.trim(older_than=0.0, most_rows=2) == 4
    assert [e.seq for e in journal.entries()] == [9, 10]


def test_trimming_a_row_with_a_wrong_date_drops_no_younger_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    for at in (100.0, 101.0, 1.0, 102.0):
        journal.append(at, lambda seq: b"x")
    journal.acknowledge([1, 2, 3, 4])
    assert journal.trim(older_than=50.0, most_rows=100) == 0
    assert journal.trim(older_than=100.5, most_rows=100) == 1
    assert [e.seq for e in journal.entries()] == [2, 3, 4]


def test_a_journal_that_was_trimmed_to_nothing_goes_on_counting(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    fill(journal, 4)
    journal.acknowledge([1, 2, 3, 4])
    journal.trim(older_than=1e9, most_rows=100)
    fill(journal, 1)
    assert [e.seq for e in journal.entries()] == [5]
    assert journal.broken_at() is None


@given(st.lists(st.sampled_from(["append", "ack", "trim", "reopen"]), max_size=40))
@settings(max_examples=50, deadline=None)
def test_any_history_keeps_the_chain_and_the_pending_entries(
    tmp_path_factory: pytest.TempPathFactory, history: list[str]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.db"
    journal, written, acknowledged = Journal(path), 0, 0
    for action in history:
        if action == "append":
            fill(journal, 1, at=float(written))
            written += 1
        elif action == "ack" and acknowledged < written:
            acknowledged += 1
            journal.acknowledge([acknowledged])
        elif action == "trim":
            journal.trim(older_than=written / 2, most_rows=5)
        elif action == "reopen":
            journal.close()
            journal = Journal(path)
    assert journal.broken_at() is None
    assert [e.seq for e in journal.pending(0, 100)] == list(range(acknowledged + 1, written + 1))
    journal.close()


def test_a_payload_that_fails_writes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")

    def broken(seq: int) -> bytes:
        raise RuntimeError(seq)

    with pytest.raises(RuntimeError):
        journal.append(0.0, broken)
    assert journal.entries() == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/j\.db"):
        Journal(tmp_path / "file" / "j.db")
