"""The syncer without a network: it requests, stores, gives access and acknowledges."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ostiary.edge.adapters.mqtt.link import Filter
from ostiary.edge.core.types import Reason
from ostiary.edge.remote.syncer import SAY_EVERY_S
from ostiary.edge.roster.record import Record
from tests.support.roster.operator import ENCODER, face
from tests.support.roster.scene import NOW_S, TURN_S, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_each_new_connection_asks_for_the_head_and_for_what_is_live(scene: Scene) -> None:
    scene.live(1)
    topics = scene.operator.topics
    first = [Filter(topics.every_subject, qos=1, replay=False), Filter(topics.head, qos=1)]
    assert scene.broker.asked == [first]
    scene.broker.connection += 1
    scene.live(1)
    assert scene.broker.asked == [first, first]


def test_what_could_not_be_asked_is_asked_at_the_next_turn(scene: Scene) -> None:
    scene.broker.refusing = True
    scene.live(1)
    scene.broker.refusing = False
    scene.live(TURN_S)
    assert len(scene.broker.asked) == 1


def test_without_a_connection_nothing_is_asked_nor_said(scene: Scene) -> None:
    scene.broker.connected = False
    scene.live(30)
    assert not scene.broker.asked
    assert not scene.broker.said
    assert not scene.events


def test_a_roster_that_was_there_before_is_pulled_and_acknowledged(scene: Scene) -> None:
    scene.enroll("alice", "bob", "carol")
    scene.broker.keep(scene.revoke("carol"))
    scene.live()
    scene.check()
    assert scene.grants("alice")
    assert not scene.door.decide(face(2)).granted
    said = scene.broker.acknowledged()
    operator = scene.operator
    assert (said.sequence, said.digest, said.complete) == (4, operator.digest, True)
    assert (said.subjects, said.usable, said.missing) == (2, 2, 0)
    assert (said.encoder, said.coverage) == (ENCODER, {ENCODER: 2})
    assert said.issued_at == "2027-01-15T08:00:00.000Z"
    assert scene.broker.said[-1][0] == scene.door.topics.roster
    assert not scene.events
    assert scene.door.syncer.issued_at_s == NOW_S


def test_what_is_published_live_needs_no_question(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    asked = len(scene.broker.asked)
    scene.enroll("bob", "carol")
    scene.live()
    scene.broker.keep(scene.revoke("bob"))
    scene.live()
    # A late head is not requested: that would cost 6 kB for each door and change.
    scene.operator.enroll("dave", 9)
    *before, head = scene.operator.changes(["dave"])
    scene.broker.keep(before)
    scene.live()
    scene.broker.keep([head])
    scene.live(60)
    scene.check()
    assert len(scene.broker.asked) == asked


def test_everything_asked_for_is_left_again(scene: Scene) -> None:
    scene.enroll(*(f"s{number}" for number in range(60)))
    scene.live()
    scene.check()
    topics = scene.operator.topics
    lasting = {topics.every_subject, topics.head}
    assert set(scene.broker.topics_asked()) - lasting == set(scene.broker.left)
    # If a connection ends in between, the subscriptions stay at the broker.
    scene.broker.deaf = True
    scene.enroll(*(f"t{number}" for number in range(60)))
    scene.broker.connection += 1
    scene.live(TURN_S)
    scene.broker.lost = set(scene.broker.kept)
    scene.live(TURN_S)
    scene.broker.connection += 1
    scene.broker.lost = set()
    scene.live()
    scene.check()
    assert set(scene.broker.topics_asked()) - lasting == set(scene.broker.left)


def test_only_what_changed_while_away_is_pulled(scene: Scene) -> None:
    scene.enroll(*(f"s{number}" for number in range(100)))
    scene.live()
    scene.broker.deaf = True
    scene.enroll("new")
    scene.broker.deaf = False
    scene.restart()
    scene.broker.asked.clear()
    scene.live()
    scene.check()
    topics = scene.operator.topics
    asked = [t for t in scene.broker.topics_asked() if t.startswith(topics.base)]
    assert len(asked) == 4, "live, head, one index and one record"


def test_stored_subjects_have_access_without_a_broker(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.broker.keep(scene.revoke("bob"))
    scene.live()
    scene.restart()
    scene.broker.connected = False
    scene.live()
    scene.check()
    assert scene.grants("alice")
    assert not scene.door.decide(face(1)).granted
    assert not scene.events


def test_a_restart_with_nothing_changed_asks_for_nothing_more(scene: Scene) -> None:
    scene.enroll(*(f"s{number}" for number in range(100)))
    scene.live()
    scene.restart()
    scene.broker.asked.clear()
    scene.live(20)
    assert len(scene.broker.asked) == 1
    scene.check()


def test_what_was_revoked_is_scrubbed_from_the_disk(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.live()
    rows = {row.subject: row.payload for row in scene.door.store.rows()}
    scene.broker.keep(scene.revoke("alice"))
    scene.live()
    files = b"".join(file.read_bytes() for file in scene.folder.glob("north.db*"))
    assert rows["alice"][50:] not in files
    assert rows["bob"][50:] in files


def test_a_suspension_works_before_its_head_and_is_durable(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.live()
    scene.operator.suspend("alice")
    scene.operator.revoke("bob")
    scene.broker.keep([scene.operator.record("alice"), scene.operator.record("bob")])
    scene.live(TURN_S)
    for _ in range(2):
        assert scene.door.decide(face(0)).reason is Reason.SUSPENDED
        assert scene.door.decide(face(1)).reason is Reason.UNKNOWN
        scene.restart()
    scene.live()
    assert scene.door.decide(face(0)).reason is Reason.SUSPENDED
    assert scene.door.decide(face(1)).reason is Reason.UNKNOWN


def test_several_steps_of_one_subject_in_one_turn(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    scene.broker.keep(scene.revoke("alice"))
    scene.enroll("alice")
    scene.broker.keep(scene.revoke("alice"))
    scene.live()
    scene.check()
    scene.enroll("alice")
    scene.broker.keep(scene.revoke("alice"))
    scene.enroll("alice")
    scene.live()
    scene.check()
    assert scene.grants("alice")


def test_an_erased_subject_is_forgotten(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.live()
    scene.broker.keep(scene.revoke("alice"))
    scene.broker.keep(list(scene.operator.erase("alice")))
    scene.live()
    scene.check()
    assert not scene.events


def test_the_acknowledgement_comes_at_once_when_complete_and_else_seldom(scene: Scene) -> None:
    scene.enroll(*(f"s{number}" for number in range(100)))
    scene.broker.lost = {scene.operator.topic_of("s7")}
    for number in range(100):
        # Something is new at each turn, and complete it never is.
        scene.enroll(f"t{number}")
        scene.live(TURN_S)
    assert not scene.broker.acknowledged().complete
    assert 5 <= len(scene.broker.said) <= 100 * TURN_S / SAY_EVERY_S + 1
    scene.broker.lost.clear()
    scene.live(10)
    assert scene.broker.acknowledged().complete
    count = len(scene.broker.said)
    scene.live(60)
    assert len(scene.broker.said) == count, "nothing changed, nothing said"
    scene.enroll("new")
    scene.live(TURN_S)
    assert (len(scene.broker.said), scene.broker.acknowledged().complete) == (count + 1, True)
    # The broker may have lost it.
    scene.broker.connection += 1
    scene.live(1)
    assert len(scene.broker.said) == count + 2


def test_a_head_signed_again_is_acknowledged(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    before = scene.broker.acknowledged()
    scene.now += 3600
    scene.broker.keep([scene.operator.head()])
    scene.live(1)
    after = scene.broker.acknowledged()
    assert after == msgspec.structs.replace(before, issued_at=after.issued_at)
    assert (before.issued_at or "") < (after.issued_at or "")


def test_a_subject_without_a_usable_template_is_counted(scene: Scene) -> None:
    scene.operator.put(Record("alice", 1, templates={"cd" * 32: face(1).tobytes()}))
    scene.operator.put(Record("bob", 1, templates={ENCODER: bytes(512)}))
    scene.broker.keep(list(scene.operator.everything()))
    scene.enroll("carol")
    scene.live()
    said = scene.broker.acknowledged()
    assert (said.subjects, said.usable) == (3, 1)
    assert said.coverage == {ENCODER: 1, "cd" * 32: 1}
    assert scene.door.members.damaged == {"bob"}
    assert scene.door.gallery.subjects == ["carol"]
