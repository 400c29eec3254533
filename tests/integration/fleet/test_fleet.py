"""The operator's own program and a door: what the registry says, the door does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostiary.edge.core.types import Reason
from ostiary.fleet.publishing.publish import publish, publish_changes
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from ostiary.fleet.site.keys import OPERATOR_KEY
from ostiary.fleet.site.keys import SITE_KEY as SITE_FILE
from scripts import trial
from tests.support.doors.roster_door import Door, until
from tests.support.roster.operator import ENCODER, SEED, SITE, SITE_KEY, face

NOW_S = 1_800_000_000.0


@pytest.fixture
def fleet(tmp_path: Path, broker: trial.Mosquitto) -> Fleet:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / SETTINGS).write_text(
        f'site = "{SITE}"\nbundle = "bundle"\nhost = "127.0.0.1"\nport = {broker.port}\n'
    )
    for name, secret in ((OPERATOR_KEY, SEED), (SITE_FILE, SITE_KEY)):
        (folder / name).write_text(f"{secret.hex()}\n")
        (folder / name).chmod(0o600)
    return Fleet.open(folder)


def check(door: Door, fleet: Fleet) -> None:
    """Waits until the door holds what the registry does, no more and no less."""
    registry = fleet.registry()

    def equal() -> bool:
        head = door.syncer.state.head
        known = head is not None and head.sequence == registry.roster.sequence
        return known and door.syncer.complete

    until([door], equal)
    state = door.syncer.state
    assert state.sums() == list(registry.roster.head(0.0).sums)
    assert door.held() == registry.roster.entries()
    enrolled = [person.subject for person in registry.people.all() if not person.gone]
    assert door.gallery.subjects == sorted(enrolled)


def test_a_door_does_what_the_registry_says(
    fleet: Fleet, tmp_path: Path, broker: trial.Mosquitto
) -> None:
    registry = fleet.registry()
    people = [(Person(subject=f"p{n}"), {ENCODER: Fused(face(n))}) for n in range(300)]
    registry.put_many(people, NOW_S)
    publish(fleet)
    door = Door(tmp_path, fleet.mqtt()).start()
    check(door, fleet)
    assert door.grants(face(7), "p7")
    registry.put(Person(subject="new"), {ENCODER: Fused(face(1000))}, NOW_S)
    registry.revoke("p7", NOW_S)
    registry.suspend("p8", NOW_S)
    registry.erase("p9", NOW_S)
    publish_changes(fleet)
    check(door, fleet)
    assert door.grants(face(1000), "new")
    assert [door.decide(face(n)).reason for n in (7, 8, 9)] == [
        Reason.UNKNOWN,
        Reason.SUSPENDED,
        Reason.UNKNOWN,
    ]
    broker.kill()
    (tmp_path / "broker" / "mosquitto.db").unlink()
    broker.start()
    registry.resume("p8", NOW_S)
    publish(fleet)
    check(door, fleet)
    assert door.grants(face(8), "p8")
    assert door.events == []
    door.close()
    fleet.close()
