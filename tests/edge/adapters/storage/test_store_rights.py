"""Names and rights in a door's own store, and stores that earlier versions made."""

import contextlib
import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ostiary.edge.adapters.storage import sqlite as databases
from ostiary.edge.adapters.storage import store as stores
from ostiary.edge.adapters.storage.sqlite import connect
from ostiary.edge.adapters.storage.store import Store, SubjectRow
from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.types import Template
from ostiary.edge.errors import StoreError
from tests.support.fakes import unit
from tests.support.places import ROOT

V = unit([1.0, 2.0, 3.0])
SCHEMA_1 = """
CREATE TABLE subject (id TEXT PRIMARY KEY, enrolled_at REAL NOT NULL) STRICT;
CREATE TABLE template (
    subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
    encoder TEXT NOT NULL,
    embedding BLOB NOT NULL,
    PRIMARY KEY (subject, encoder)
) STRICT;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
PRAGMA journal_mode = WAL;
INSERT INTO subject VALUES ('alice', 1.0), ('nobody', 2.0);
INSERT INTO counter VALUES ('start', 7);
PRAGMA user_version = 1;
"""
SCHEMA_2 = """
ALTER TABLE template ADD COLUMN photos INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
"""
"""The schemas as the earlier versions wrote them, kept here so that a later change of the code
cannot change what is tested."""


def earlier(path: Path, version: int) -> Path:
    """A store file of an earlier version."""
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.executescript(SCHEMA_1)
        made.execute(
            "INSERT INTO template (subject, encoder, embedding) VALUES ('alice', 'enc', ?)",
            (V.tobytes(),),
        )
        made.commit()
        if version == 2:
            made.executescript(SCHEMA_2)
    return path


def holds_all(store: Store) -> None:
    """Nothing was lost, everybody may pass as before, and rights can be set."""
    (((subject, rows, rights, photos),), damaged) = store.templates("enc", 3)
    assert (subject, rights, photos, damaged) == ("alice", Rights(), 0, [])
    assert (rows == V[None]).all()
    assert store.subjects() == [
        SubjectRow("alice", 1.0, ("enc",), {}),
        SubjectRow("nobody", 2.0, (), {}),
    ]
    store.change(replace(store.subjects()[0], suspended=True), 3.0)
    assert store.templates("enc", 3)[0][0][2].suspended
    assert store.count("start") == 8


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_earlier_version_is_taken_over(tmp_path: Path, version: int) -> None:
    store = Store(earlier(tmp_path / "s.db", version))
    holds_all(store)
    store.close()


@pytest.mark.parametrize("version", [1, 2])
def test_power_may_fail_between_any_two_statements_of_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """What is on the disk before each statement is kept, and opened as after a power cut."""
    home = tmp_path / "0"
    home.mkdir()
    earlier(home / "s.db", version)
    cuts: list[Path] = []

    def cut(_statement: str) -> None:
        cuts.append(tmp_path / f"cut-{len(cuts)}")
        shutil.copytree(home, cuts[-1])

    def traced(*given: Any, **named: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = sqlite3.connect(*given, **named)
        made.set_trace_callback(cut)
        return made

    module = SimpleNamespace(
        connect=traced, Error=sqlite3.Error, OperationalError=sqlite3.OperationalError
    )
    monkeypatch.setattr(databases, "sqlite3", module)
    Store(home / "s.db").close()
    monkeypatch.undo()
    assert len(cuts) > 8
    for folder in cuts:
        store = Store(folder / "s.db")
        holds_all(store)
        store.close()


def test_a_suspension_that_power_cut_off_is_whole_or_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "enc", V), 1.0)
    row = store.subject("alice")
    assert row is not None
    with pytest.raises(RuntimeError), store.edit():
        store.change(replace(row, suspended=True, name="Alice"), 2.0)
        raise RuntimeError
    assert store.subject("alice") == row
    store.change(replace(row, suspended=True, name="Alice"), 2.0)
    shutil.copytree(tmp_path, tmp_path / "cut")  # no close: as after a kill
    after = Store(tmp_path / "cut" / "s.db").subject("alice")
    assert after == replace(row, suspended=True, name="Alice")


def test_name_and_rights_stay_when_a_subject_is_enrolled_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "enc", V, 1), 1.0)
    row = store.subject("alice")
    assert row == SubjectRow("alice", 1.0, ("enc",), {"enc": 1})
    wished = replace(row, name="Alice", valid_until_s=9.5, suspended=True)
    store.change(wished, 2.0)
    store.put(Template("alice", "enc", V, 2), 3.0)
    assert store.subject("alice") == replace(wished, photos={"enc": 2})
    assert store.templates("enc", 3)[0][0][2] == Rights(valid_until_s=9.5, suspended=True)
    store.remove("alice")
    store.put(Template("alice", "enc", V, 2), 4.0)
    assert store.subject("alice") == SubjectRow("alice", 4.0, ("enc",), {"enc": 2})
    assert store.subject("bob") is None


def test_a_template_without_a_subject_is_not_searched(tmp_path: Path) -> None:
    """Somebody who deletes a subject by hand, without foreign keys, leaves such a template."""
    store = Store(tmp_path / "s.db")
    store.put(Template("alice", "enc", V), 1.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as shell:
        shell.execute("DELETE FROM subject")
        shell.commit()
    assert store.templates("enc", 3) == ([], [])


def test_the_time_of_the_last_change_never_falls(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    assert store.changed_s() == 0.0
    store.put(Template("alice", "enc", V), 1000.9)
    assert store.changed_s() == 1000.0
    row = store.subject("alice")
    assert row is not None
    store.change(row, 5.0)
    assert store.changed_s() == 1000.0
    store.change(row, 2000.0)
    assert store.changed_s() == 2000.0


def test_a_store_that_was_replaced_or_moved_away_is_no_longer_trusted(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.version()
    (tmp_path / "s.db").rename(tmp_path / "away.db")
    with pytest.raises(StoreError, match="No such file"):
        store.version()
    Store(tmp_path / "s.db").close()
    with pytest.raises(StoreError, match="replaced by another file"):
        store.version()


def test_the_documented_ways_back_give_stores_that_older_versions_open(tmp_path: Path) -> None:
    """Who was shut out, or will be, is not let in by a version that knows no such thing."""
    store = Store(tmp_path / "s.db")
    for subject in ("alice", "bob", "carol"):
        store.put(Template(subject, "enc", V, 2), 1.0)
    for row in store.subjects():
        if row.subject == "bob":
            store.change(replace(row, suspended=True), 2.0)
        if row.subject == "carol":
            store.change(replace(row, valid_until_s=9e9), 2.0)
    store.close()
    # As the shell reads it: a backslash at the end of a line joins it to the next.
    text = (ROOT / "docs" / "device.md").read_text().replace("\\\n", "")
    documented = re.findall(r'store\.db "(.+?)"', text)
    assert len(documented) == 2
    for version, script in zip((2, 1), documented, strict=True):
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as shell:
            shell.executescript(script)
        older = connect(tmp_path / "s.db", stores.MIGRATIONS[:version])
        held = older.execute("SELECT subject, embedding FROM template").fetchall()
        assert held == [("alice", V.tobytes())]
        assert older.execute("SELECT * FROM subject").fetchall() == [("alice", 1.0)]
        older.close()
