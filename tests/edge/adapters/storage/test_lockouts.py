"""The file of lockouts: what a restart finds, also after a cut, and what is never in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostiary.edge.adapters.storage.lockouts import LOCKOUTS, LockoutFile, clear
from ostiary.edge.core.rules import lockout
from ostiary.edge.core.rules.lockout import LockoutRules, Strikes
from ostiary.edge.errors import StoreError

RULES = LockoutRules()
BOOK = {
    "face/7": Strikes((), 1, 130.0),
    "card/alice": Strikes((95.0, 99.0), 0, 0.0),
    lockout.DOOR: Strikes((95.0,), 0, 0.0),
}


def test_a_restart_finds_what_was_saved_and_time_has_passed(tmp_path: Path) -> None:
    LockoutFile(tmp_path, lambda: 1000.0).save(BOOK, 100.0)
    found = LockoutFile(tmp_path, lambda: 1010.0).load(RULES, 5.0)
    assert found[lockout.ANY_FACE] == Strikes((), 1, 25.0)
    assert found["card/alice"].times_s == (-10.0, -6.0)
    assert "face/7" not in json.loads((tmp_path / LOCKOUTS).read_text())["strikes"]


def test_without_strikes_there_is_no_file(tmp_path: Path) -> None:
    file = LockoutFile(tmp_path, lambda: 1000.0)
    file.save(BOOK, 100.0)
    file.save({}, 101.0)
    assert list(tmp_path.iterdir()) == []
    assert not file.was_cleared()
    assert file.load(RULES, 5.0) == {}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"at_s": 1, "strikes": {"a": 1}}'])
def test_a_damaged_file_locks_every_face_for_a_while(tmp_path: Path, data: bytes) -> None:
    (tmp_path / LOCKOUTS).write_bytes(data)
    found = LockoutFile(tmp_path, lambda: 1000.0).load(RULES, 5.0)
    assert lockout.is_locked(found, 1, None, 5.0 + RULES.for_s - 1)
    assert not lockout.is_locked(found, 1, None, 5.0 + RULES.for_s)


def test_another_process_clears_it_once(tmp_path: Path) -> None:
    file = LockoutFile(tmp_path, lambda: 1000.0)
    file.save(BOOK, 100.0)
    assert not file.was_cleared()
    assert clear(tmp_path)
    assert not clear(tmp_path)
    assert file.was_cleared()
    assert not file.was_cleared()


def test_a_folder_in_its_place_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / LOCKOUTS).mkdir()
    for ask in (
        lambda: LockoutFile(tmp_path, lambda: 1.0).load(RULES, 5.0),
        lambda: LockoutFile(tmp_path, lambda: 1.0).save(BOOK, 5.0),
        lambda: clear(tmp_path),
    ):
        with pytest.raises(StoreError, match=LOCKOUTS):
            ask()
