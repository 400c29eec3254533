"""Nonces: each once, over restarts, and not for ever."""

import sqlite3
from pathlib import Path

import pytest

from ostiary.edge.adapters.storage.nonces import Nonces
from ostiary.edge.errors import StoreError


def numbered(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_nonce_is_taken_once_also_after_a_restart(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "commands.db")
    assert nonces.take(numbered(1), 100.0, 50.0)
    assert not nonces.take(numbered(1), 100.0, 50.0)
    # No close: as after a kill.
    again = Nonces(tmp_path / "commands.db")
    assert not again.take(numbered(1), 100.0, 50.0)
    assert again.take(numbered(2), 100.0, 50.0)
    again.close()
    nonces.close()


def test_the_oldest_go_once_they_have_expired(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "commands.db", kept=10)
    for number in range(30):
        assert nonces.take(numbered(number), 100.0 + number, 100.0 + number)
    assert len(nonces) == 10
    assert not nonces.take(numbered(20), 200.0, 200.0)
    assert nonces.take(numbered(19), 200.0, 200.0)
    nonces.close()


def test_unexpired_nonces_are_kept_however_many_there_are(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "commands.db", kept=10)
    for number in range(30):
        assert nonces.take(numbered(number), 1000.0, 100.0)
    assert not nonces.take(numbered(0), 1000.0, 100.0)
    nonces.close()


def test_a_clock_that_jumps_does_not_forget_a_nonce(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "commands.db", kept=10)
    assert nonces.take(numbered(0), 100.0, 50.0)
    assert nonces.take(numbered(1), 90_000.0, 89_990.0)
    assert not nonces.take(numbered(0), 100.0, 50.0)
    nonces.close()


def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path / "commands.db")
    other = sqlite3.connect(tmp_path / "commands.db")
    other.execute("DROP TABLE nonce")
    other.close()
    with pytest.raises(StoreError, match=r"commands\.db"):
        nonces.take(numbered(1), 100.0, 50.0)
    nonces.close()
