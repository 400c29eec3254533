"""Two operators at one registry: each waits, is told, and overwrites nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from tests.support.fleet.people import OLD, fill, naive_sums, template


def test_an_operator_who_waits_too_long_is_told(registry: Registry, tmp_path: Path) -> None:
    fill(registry, "alice")
    other = sqlite3.connect(tmp_path / "r.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(FleetError, match="another ostiary-fleet is writing"):
        registry.revoke("alice", 1.0)
    assert registry.roster.entries() == {"alice": 1}
    other.execute("ROLLBACK")
    other.close()
    assert registry.revoke("alice", 1.0) == 2


def test_who_thought_for_long_does_not_overwrite_what_was_written_meanwhile(
    registry: Registry, tmp_path: Path
) -> None:
    fill(registry, "alice")
    seen = registry.roster.sequence
    other = Registry(tmp_path / "r.db")
    other.revoke("alice", 2.0)
    other.close()
    with pytest.raises(FleetError, match="meanwhile; nothing was written"):
        registry.put(Person(subject="alice"), {OLD: Fused(template(3))}, 3.0, seen=seen)
    assert registry.roster.record("alice").gone
    assert registry.put(Person(subject="bob"), {OLD: Fused(template(3))}, 3.0, seen=2) == 3


def test_a_snapshot_is_of_one_moment(registry: Registry, tmp_path: Path) -> None:
    fill(registry, "alice")
    other = Registry(tmp_path / "r.db")
    with registry.snapshot():
        assert registry.roster.sequence == 1
        other.revoke("alice", 2.0)
        head = registry.roster.head(1.0)
        assert (head.sequence, registry.roster.entries()) == (1, {"alice": 1})
        assert list(head.sums) == naive_sums(registry)
    other.close()
    assert registry.roster.sequence == 2


def test_the_file_is_its_owners(registry: Registry, tmp_path: Path) -> None:
    assert (tmp_path / "r.db").stat().st_mode & 0o777 == 0o600


def test_who_only_reads_does_not_wait_for_who_writes(tmp_path: Path, registry: Registry) -> None:
    fill(registry, "alice")
    other = sqlite3.connect(tmp_path / "r.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    reading = Registry(tmp_path / "r.db", busy_s=0.05)
    assert reading.roster.entries() == {"alice": 1}
    reading.close()
    other.execute("ROLLBACK")
    other.close()
