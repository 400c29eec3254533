"""A running door without a fleet follows what is done to its people, and shuts if it cannot."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ostiary.edge import wire
from ostiary.edge.access.local import StoreFollower
from ostiary.edge.adapters.storage.state_dir import STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Template
from ostiary.edge.daemon.upkeep import Upkeep
from ostiary.edge.wire import DecisionMessage
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.fakes import FakeClock
from tests.support.places import ostiary


def decided(listener: Listener, reason: str) -> bool:
    """Whether a decision after the ones so far is for this reason, and names eileen."""
    seen = len(listener.decisions)
    return listener.until(
        lambda h: any(
            d.reason.value == reason and (d.subject == "eileen" or reason == "unknown")
            for d in h.decisions[seen:]
        )
    )


def test_suspension_and_the_last_day_reach_a_running_daemon_and_its_journal(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    door.enroll(eileen)
    config = tmp_path / "door" / "door.toml"
    with door:
        assert decided(listener, "matched"), door.log()
        for command, reason in (("suspend", "suspended"), ("resume", "matched")):
            assert ostiary(command, "--config", config, "eileen").returncode == 0
            assert decided(listener, reason), door.log()
        store = Store(door.state / STORE)
        row = store.subject("eileen")
        assert row is not None
        store.change(replace(row, valid_until_s=time.time() - 1), time.time())
        store.close()
        assert decided(listener, "expired"), door.log()
        (door.state / STORE).rename(door.state / "away.db")
        assert decided(listener, "unknown"), door.log()
        assert listener.until(lambda h: "gallery-emptied" in h.event_names()), door.log()
        assert door.end() == 0
    journal = door.journal()
    written = [wire.decode(entry.payload, DecisionMessage) for entry in journal.entries()]
    journal.close()
    told = {(d.outcome.value, d.reason.value, d.subject) for d in written}
    assert {("denied", "suspended", "eileen"), ("denied", "expired", "eileen")} <= told
    assert {d.reason.value for d in written if d.outcome.value == "granted"} == {"matched"}
    listener.close()


def test_the_store_is_looked_at_in_every_turn_of_the_loop() -> None:
    """Not once a second: in between somebody who has just been suspended would pass."""
    turns: list[None] = []

    class Follower:
        def follow(self) -> None:
            turns.append(None)

    nothing: Any = None
    follower = cast(StoreFollower, Follower())
    upkeep = Upkeep(nothing, nothing, follower, nothing, clock=FakeClock())
    for _ in range(3):
        upkeep.keep()
    assert len(turns) == 3
