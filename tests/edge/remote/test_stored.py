"""A door whose stored roster is damaged, outdated, or read by another process, or its disk full."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, cast

import pytest

from ostiary.edge import wire
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import ROSTER
from ostiary.edge.errors import StoreError
from ostiary.edge.remote.stored import encoders, stored
from ostiary.edge.wire import RosterMessage
from tests.support.doors.remote_door import NOW_S, Door
from tests.support.roster.operator import Operator


@pytest.mark.parametrize("where", [0, 4096])
def test_a_damaged_file_is_replaced_and_the_roster_comes_from_the_broker(
    door: Door, operator: Operator, where: int
) -> None:
    """Damage at the start: not a database. Damage after the first page is found when reading."""
    for number in range(40):
        operator.enroll(f"s{number}", number)
    door.broker.keep(operator.everything())
    door.turns()
    door.remote.close()
    path = door.config.state.path / ROSTER
    raw = bytearray(path.read_bytes())
    raw[where:] = b"x" * (len(raw) - where)
    path.write_bytes(raw)
    door.start()
    assert door.enrolled.names == set()
    for _ in range(5):
        door.turns()
    assert len(door.enrolled.names) == 40
    left = {p.name.removeprefix(ROSTER) for p in path.parent.glob(f"{ROSTER}*")}
    assert left <= {"", "-wal", "-shm"}, "no copy, for it would keep who is erased later"


def test_with_a_wrong_clock_the_roster_is_stale(door: Door, operator: Operator) -> None:
    """A board without a clock battery loses network and power."""
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert not door.enrolled.stale
    door.wall_s = 5.0
    door.turns()
    assert door.enrolled.stale
    assert door.moment().at_s >= NOW_S
    door.remote.close()
    door.broker.connected = False
    door.start()
    door.turns(50.0)
    assert door.enrolled.stale
    door.wall_s = NOW_S + 50
    door.turns()
    assert not door.enrolled.stale, "the clock is right again, and the head young"


def test_while_the_store_cannot_be_written_nobody_passes_after_a_while(
    door: Door, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()

    def full(*_: object) -> None:
        raise StoreError("no space")

    with monkeypatch.context() as broken:
        broken.setattr(RosterStore, "apply", full)
        operator.enroll("alice", 1, groups=("cleaners",))
        door.broker.keep(operator.everything())
        door.turns()
        assert door.enrolled.names == {"bob"}, "what could not be stored may be what took"
        assert not door.enrolled.stale
        door.turns(11.0)
        assert door.enrolled.stale
    door.turns(6.0)
    door.turns(1.0)
    assert (door.enrolled.names, door.enrolled.stale) == ({"alice", "bob"}, False)


def test_damage_found_when_writing_is_repaired_from_the_broker(
    door: Door, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()

    def malformed(*_: object) -> None:
        try:
            raise sqlite3.DatabaseError("database disk image is malformed")
        except sqlite3.DatabaseError as error:
            raise StoreError("roster.db: malformed") from error

    with monkeypatch.context() as broken:
        broken.setattr(RosterStore, "apply", malformed)
        operator.enroll("bob", 2)
        door.broker.keep(operator.everything())
        door.turns()
        assert door.enrolled.names == set()
    door.turns(6.0)
    door.turns(1.0)
    assert door.enrolled.names == {"alice", "bob"}


def test_a_record_older_than_the_stored_head_gives_no_access_after_a_restart(
    door: Door, operator: Operator
) -> None:
    """The head of a revocation was stored; then the power failed and the broker stayed away."""
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()
    operator.revoke("alice")
    topic = operator.topic_of("alice")
    index = operator.topics.index(topic.split("/")[-2])
    door.broker.deaf = True
    door.broker.keep(operator.everything())
    door.broker.lost |= {topic, index}
    door.broker.replay(operator.topics.head)
    door.turns()
    assert door.enrolled.names == {"alice", "bob"}, "nobody knows yet whom it is about"
    door.remote.close()
    door.broker.connected = False
    door.start()
    assert door.enrolled.names == {"bob"}
    # A roster, so no store is asked.
    assert list(encoders(door.config, cast(Any, None))) == []


def test_an_erasure_is_confirmed_when_it_is_gone_from_the_disk(
    door: Door, operator: Operator
) -> None:
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()
    path = door.config.state.path / ROSTER
    alice = door.broker.kept[operator.topic_of("alice")]
    with contextlib.closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT payload FROM record")
        rows.fetchone()
        door.broker.said.clear()
        door.broker.keep(operator.erase("alice"))
        door.turns(2.0)
        assert not any(m.complete and m.sequence == operator.sequence for m in said(door))
        rows.close()
    door.turns(2.0)
    assert said(door)[-1].complete
    assert all(alice not in p.read_bytes() for p in path.parent.glob(f"{ROSTER}*"))


def said(door: Door) -> list[RosterMessage]:
    return [wire.decode(payload, RosterMessage) for _, payload, _ in door.broker.said]


def test_two_revocations_at_once_are_each_acknowledged_at_once(
    door: Door, operator: Operator
) -> None:
    for number, subject in enumerate(("alice", "bob", "carol")):
        operator.enroll(subject, number)
    door.broker.keep(operator.everything())
    door.turns()
    for subject in ("alice", "bob"):
        operator.revoke(subject)
        door.broker.keep(operator.everything())
        door.turns()
        assert (said(door)[-1].complete, said(door)[-1].sequence) == (True, operator.sequence)


def test_a_row_with_an_impossible_id_is_left_out(door: Door, operator: Operator) -> None:
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    with contextlib.closing(sqlite3.connect(door.config.state.path / ROSTER)) as intruder:
        intruder.execute("INSERT INTO record VALUES ('zoë', 1, x'01')")
        intruder.commit()
    assert [sealed.record.subject for sealed in stored(door.config)] == ["alice"]
