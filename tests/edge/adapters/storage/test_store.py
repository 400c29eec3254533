"""Subjects and templates on disk."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ostiary.edge.adapters.storage import sqlite as databases
from ostiary.edge.adapters.storage import store as stores
from ostiary.edge.adapters.storage.sqlite import atomic, connect
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Template
from ostiary.edge.errors import StoreError
from tests.support.fakes import unit

V = unit([1.0, 2.0, 3.0])


def test_templates_come_back_bit_for_bit(tmp_path: Path) -> None:
    first = Store(tmp_path / "s.db")
    first.put(Template("alice", "enc", V), 1.0)
    first.close()
    (((subject, rows, *_),), _) = Store(tmp_path / "s.db").templates("enc", 3)
    assert subject == "alice"
    assert rows.dtype == np.float32
    assert (rows == V[None]).all()


def test_a_template_is_bound_to_its_encoder(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "old", V), 1.0)
    store.put(Template("bob", "old", V), 1.0)
    store.put(Template("bob", "new", V), 2.0)
    assert [s for s, *_ in store.templates("new", 3)[0]] == ["bob"]
    assert store.unusable("new") == ["alice"]
    assert [(r.subject, set(r.encoders)) for r in store.subjects()] == [
        ("alice", {"old"}),
        ("bob", {"old", "new"}),
    ]


def test_the_number_of_photos_is_kept_and_replaced_with_the_template(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "old", V, 1), 1.0)
    store.put(Template("alice", "new", V, 3), 1.0)
    store.put(Template("bob", "new", V), 1.0)
    assert [(s, photos) for s, *_, photos in store.templates("new", 3)[0]] == [
        ("alice", 3),
        ("bob", 0),
    ]
    assert [row.photos for row in store.subjects()] == [{"new": 3, "old": 1}, {}]
    store.put(Template("alice", "old", V, 2), 2.0)
    assert store.subjects()[0].photos == {"new": 3, "old": 2}


def test_a_store_from_before_photos_were_counted_is_opened(tmp_path: Path) -> None:
    older = connect(tmp_path / "s.db", stores.MIGRATIONS[:1])
    older.execute("INSERT INTO subject VALUES ('alice', 1.0), ('nobody', 2.0)")
    older.execute("INSERT INTO template VALUES ('alice', 'enc', ?)", (V.tobytes(),))
    older.close()
    store = Store(tmp_path / "s.db")
    (((subject, rows, _, photos),), damaged) = store.templates("enc", 3)
    assert (subject, photos, damaged) == ("alice", 0, [])
    assert (rows == V[None]).all()
    assert [(r.subject, r.encoders, r.photos) for r in store.subjects()] == [
        ("alice", ("enc",), {}),
        ("nobody", (), {}),
    ]
    store.put(Template("alice", "enc", V, 2), 3.0)
    assert store.templates("enc", 3)[0][0][3] == 2


def test_enrolling_again_replaces_and_forgetting_removes_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "enc", V), 1.0)
    store.put(Template("alice", "enc", unit([3.0, 2.0, 1.0])), 2.0)
    (((_, rows, *_),), _) = store.templates("enc", 3)
    assert rows[0, 0] > rows[0, 2]
    assert store.remove("alice")
    assert not store.remove("alice")
    assert store.templates("enc", 3) == ([], [])
    assert store.subjects() == []


def test_another_process_sees_the_version_change(tmp_path: Path) -> None:
    daemon, command = Store(tmp_path / "s.db"), Store(tmp_path / "s.db")
    before = daemon.version()
    assert daemon.version() == before
    command.put(Template("alice", "enc", V), 1.0)
    assert daemon.version() != before


def test_a_damaged_template_is_named_and_the_others_stay(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    for subject in ("alice", "bob", "carol"):
        store.put(Template(subject, "enc", V), 1.0)
    database = sqlite3.connect(tmp_path / "s.db")
    database.execute("UPDATE template SET embedding = x'0011' WHERE subject = 'alice'")
    database.execute(
        "UPDATE template SET embedding = ? WHERE subject = 'carol'", ((3 * V).tobytes(),)
    )
    database.commit()
    database.close()
    found, damaged = store.templates("enc", 3)
    assert [subject for subject, *_ in found] == ["bob"]
    assert damaged == ["alice", "carol"]


def test_a_removed_subject_is_gone_from_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "enc", V), 1.0)
    store.remove("alice")
    for path in tmp_path.iterdir():
        assert V.tobytes() not in path.read_bytes(), path
        assert path.stat().st_mode & 0o077 == 0


def test_counters_outlive_the_process(tmp_path: Path) -> None:
    assert Store(tmp_path / "s.db").count("start") == 1
    assert Store(tmp_path / "s.db").count("start") == 2


def test_a_store_of_a_newer_version_is_refused_unharmed(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    database = sqlite3.connect(tmp_path / "s.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path / "s.db")


def test_a_file_that_is_no_database_is_refused_unharmed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    broken = (*stores.MIGRATIONS, "CREATE TABLE extra (x); CREATE TABLE extra (x)")
    with pytest.raises(StoreError):
        connect(tmp_path / "s.db", broken)
    database = sqlite3.connect(tmp_path / "s.db")
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    assert "extra" not in tables
    assert database.execute("PRAGMA user_version").fetchone()[0] == len(stores.MIGRATIONS)
    database.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Locks a new database as another process does while it switches to the write-ahead log."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as made:
        made.execute("BEGIN IMMEDIATE")
        yield made


def test_two_processes_may_create_a_database_at_once(
    tmp_path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def goes_on(pause_s: float) -> None:
        waits.append(pause_s)
        if len(waits) == 3:
            other.execute("COMMIT")
            other.execute("PRAGMA journal_mode = WAL")

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=goes_on)
    monkeypatch.setattr(databases, "time", clock)
    database = connect(tmp_path / "a.db", ("CREATE TABLE t (x)",))
    assert len(waits) == 3
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    database.close()


@pytest.mark.usefixtures("other")
def test_a_new_database_that_stays_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BUSY_S", 0.1)
    with pytest.raises(StoreError, match="locked"):
        connect(tmp_path / "a.db", ("CREATE TABLE t (x)",))


def test_atomic_is_all_or_nothing(tmp_path: Path) -> None:
    database = connect(tmp_path / "a.db", ("CREATE TABLE t (x)",))
    with pytest.raises(RuntimeError), atomic(database):
        database.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    database.close()
