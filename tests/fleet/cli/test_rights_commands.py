"""Changes as an operator types them, told to a real broker, and an erasure until each device has
confirmed it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.publish as paho
import pytest

from ostiary.edge import wire
from ostiary.edge.roster.record import EMPTY, total
from ostiary.fleet.site.fleet import Fleet
from scripts import trial
from tests.support.fleet.desk import Desk, init, refused, typed


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[trial.Mosquitto]:
    with trial.Mosquitto(tmp_path / "broker", lasting=False) as running:
        yield running


@pytest.fixture
def told(tmp_path: Path, bundle_dir: Path, photos: Path, broker: trial.Mosquitto) -> Desk:
    """A fleet at a real broker, with alice enrolled."""
    desk = init(tmp_path / "fleet", bundle_dir, "--broker", f"127.0.0.1:{broker.port}")
    assert desk.run("enroll", "alice", photos / "one.png")["published"] is True
    return desk


def digest(desk: Desk) -> str:
    """That of everybody's roster once alice, who is alone in it, is erased."""
    with Fleet.open(desk.folder) as fleet:
        head = fleet.registry().roster.head(0)
    return total(EMPTY if s.count else s for s in head.sums)


def confirm(
    broker: trial.Mosquitto, device: str, sequence: int, digest: str, complete: bool = True
) -> None:
    """What a device says that holds the roster as of a sequence."""
    said = wire.RosterMessage(
        sequence=sequence, digest=digest, complete=complete, subjects=0, usable=0,
        encoder="e", coverage={}, at=wire.utc(0),
    )  # fmt: skip
    topic = wire.Topics("hq", device).roster
    paho.single(topic, wire.encode(said), 1, True, "127.0.0.1", broker.port)


def test_each_change_is_published_at_once(told: Desk) -> None:
    for name, arguments in (("change", ("--name", "Alice")), ("suspend", ()), ("revoke", ())):
        assert told.run(name, "alice", *arguments)["published"] is True
        with Fleet.open(told.folder) as fleet:
            assert fleet.registry().roster.published == fleet.registry().roster.sequence


def test_a_change_that_is_kept_back_goes_with_the_next(told: Desk) -> None:
    assert told.quiet("suspend", "alice")["published"] is False
    assert told.run("resume", "alice")["published"] is True


def test_an_erasure_waits_for_every_device(told: Desk, broker: trial.Mosquitto) -> None:
    with Fleet.open(told.folder) as fleet:
        fleet.registry().add_device("north-door", 1.0)
        fleet.registry().add_device("south-door", 1.0)
    confirm(broker, "north-door", 2, digest(told))
    confirm(broker, "south-door", 2, digest(told), complete=False)
    said = told.run("erase", "alice", "--yes", "--timeout", "0.2", code=1)
    assert said == {"sequence": 2, "published": True, "waiting_for": ["south-door"]}
    assert told.run("erase", "--pending", "--timeout", "0", code=1)["waiting_for"] == ["south-door"]
    confirm(broker, "south-door", 2, digest(told))
    assert told.run("erase", "--pending")["waiting_for"] == []
    with Fleet.open(told.folder) as fleet:
        assert fleet.registry().devices.pending_erasures() == []
    assert told.run("erase", "--pending")["waiting_for"] == []


def test_an_erasure_that_nobody_was_asked_about_claims_no_receipt(
    told: Desk, broker: trial.Mosquitto
) -> None:
    done = typed("erase", "alice", "--yes", "--fleet", told.folder)
    assert done.code == 0
    assert "no device is known, so none was asked to confirm it" in done.out
    with Fleet.open(told.folder) as fleet:
        fleet.registry().add_device("north-door", 1.0)
    confirm(broker, "north-door", 2, digest(told))
    done = typed("erase", "--pending", "--fleet", told.folder)
    assert "every device has confirmed it" in done.out


def test_an_erasure_without_a_broker_is_kept_and_waits(told: Desk, broker: trial.Mosquitto) -> None:
    with Fleet.open(told.folder) as fleet:
        fleet.registry().add_device("north-door", 1.0)
    broker.kill()
    said = told.run("erase", "alice", "--yes", code=1)
    assert (said["published"], said["waiting_for"]) == (False, ["north-door"])
    assert told.run("list") == []
    with Fleet.open(told.folder) as fleet:
        assert fleet.registry().devices.pending_erasures() == [2]


def test_an_erasure_asks_first_and_says_who(told: Desk) -> None:
    assert "who is to be erased?" in told.refused("erase")
    assert "who is to be erased?" in told.refused("erase", "alice", "--pending")
    assert "'bob' is not enrolled" in told.refused("erase", "bob", "--yes")
    before = told.state()
    asked = typed("erase", "alice", "--fleet", told.folder)
    assert asked.code != 0
    assert "Erase alice?" in asked.err + asked.out
    assert told.state() == before


@pytest.mark.parametrize("command", ["revoke", "suspend", "resume", "change"])
def test_somebody_unknown_is_named(told: Desk, command: str) -> None:
    more = ("--groups", "staff") if command == "change" else ()
    assert "'bob' is not enrolled" in told.refused(command, "bob", *more)
    assert "not a subject id" in told.refused(command, "Bob!", *more)


def test_a_change_that_changes_nothing_says_so(told: Desk) -> None:
    assert "nothing to change is named" in told.refused("change", "alice")
    folder = ("--fleet", told.folder)
    assert "alice has these rights already" in typed("change", "alice", "--name", "", *folder).out
    assert "alice is already resumed" in typed("resume", "alice", *folder).out
    assert refused("change", "alice", "--until", "2020-01-01", *folder)
