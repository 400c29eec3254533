"""The syncer if messages are lost, or the disk fails or is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.core.types import Reason
from ostiary.edge.remote.syncer import RETRY_S
from ostiary.edge.roster.sealing import Sealer, Site
from tests.support.roster.operator import SITE_KEY, Operator, face
from tests.support.roster.scene import TURN_S, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize(("queue", "seconds"), [(15, 120), (100, 15), (1000, 5)])
def test_a_broker_that_drops_what_its_queue_does_not_hold(
    scene: Scene, queue: int, seconds: float
) -> None:
    scene.enroll(*(f"s{number}" for number in range(400)))
    scene.broker.queue = queue
    scene.live(seconds)
    scene.check()


def test_a_flood_beyond_the_mailbox_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostiary.edge.remote.mailbox.WAITING", 90)
    scene = Scene(tmp_path)
    scene.live(1)
    scene.enroll(*(f"s{number}" for number in range(200)))
    # No head came: the device only knows that there must be one.
    scene.live(60)
    scene.check()


def test_a_head_that_was_dropped_is_asked_for_after_its_records(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    *before, head = scene.revoke("alice")
    scene.broker.keep(before)
    scene.broker.kept.update([head])
    scene.live(4)
    assert not scene.door.equals(scene.operator)
    scene.live(3)
    scene.check()


def test_a_head_that_nobody_would_miss_is_asked_for_in_minutes(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    scene.broker.deaf = True
    scene.enroll("bob")
    scene.live(310)
    scene.check()
    # And not more often: a head has 6 kB.
    topics = scene.broker.topics_asked()
    assert topics.count(scene.operator.topics.head) == 2


@pytest.mark.parametrize("replayed", ["old head", "newer heads", "old record"])
def test_replayed_messages_do_not_put_off_the_question_for_the_head(
    scene: Scene, replayed: str
) -> None:
    scene.enroll("alice")
    scene.live()
    topics, broker = scene.operator.topics, scene.broker
    messages = {
        "old head": [(topics.head, broker.kept[topics.head])] * 5,
        "newer heads": [],
        "old record": [scene.operator.record("alice")] * 5,
    }[replayed]
    while len(messages) < 5:
        # Signed again, and lost as well.
        scene.now += 1
        messages.append(scene.operator.head())
    broker.deaf = True
    broker.keep(scene.revoke("alice"))
    for topic, payload in messages:
        assert scene.door.decide(face(0)).granted
        scene.live(61)
        scene.door.mailbox.put(Received(topic, payload, False, None, None))
    scene.check()
    assert not scene.door.decide(face(0)).granted


def test_a_full_disk_lets_nobody_new_in_and_revokes_all_the_same(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.live()
    failing = True
    scene.fail_store(lambda: failing)
    scene.enroll("carol")
    scene.live(1)
    assert scene.reasons("store-failed") == ["roster"]
    assert not scene.grants("carol")
    scene.broker.keep(scene.revoke("alice"))
    scene.operator.suspend("bob")
    scene.broker.keep(list(scene.operator.changes(["bob"])))
    scene.live(1)
    assert scene.door.decide(face(0)).reason is Reason.UNKNOWN
    assert scene.door.decide(face(1)).reason is Reason.SUSPENDED
    assert scene.broker.acknowledged().sequence == 2
    scene.live(2 * RETRY_S)
    assert scene.door.decide(face(0)).reason is Reason.UNKNOWN
    failing = False
    scene.live(RETRY_S + 3)
    scene.check()
    assert scene.grants("carol")
    assert scene.broker.acknowledged().complete


def test_while_the_disk_is_full_nothing_is_pulled(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.broker.lost = {scene.operator.topic_of("alice")}
    scene.live(1)
    scene.fail_store(lambda: True)
    scene.enroll("carol")
    scene.live(TURN_S)
    scene.broker.asked.clear()
    scene.live(RETRY_S - 1)
    assert not scene.broker.asked


def test_a_failed_store_is_tried_again_only_after_a_while(scene: Scene) -> None:
    tries = 0

    def failing() -> bool:
        nonlocal tries
        tries += 1
        return True

    scene.enroll("alice")
    scene.live()
    scene.broker.deaf = True
    scene.enroll("bob")
    scene.broker.deaf = False
    scene.fail_store(failing)
    scene.broker.connection += 1
    scene.broker.asked.clear()
    scene.live(4 * RETRY_S)
    assert 3 <= tries <= 5
    # Each time only the head is requested, since it could not be stored; not the records.
    assert {len(filters) for filters in scene.broker.asked} == {2}


def test_an_operator_who_is_trusted_no_longer_lets_nobody_in(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    other = Operator(seed=bytes(32), wall=scene.wall)
    public = Sealer(Site(SITE_KEY), bytes(32)).public
    scene.restart(operators=[public])
    assert scene.reasons() == ["unknown-operator"]
    assert len(scene.door.gallery) == 0
    assert scene.door.held() == {}
    scene.operator = other
    other.sequence = 5
    scene.enroll("bob")
    scene.broker.keep(list(other.everything()))
    scene.live()
    scene.check()


def test_nothing_of_the_cleared_store_is_left_on_the_disk(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    (row,) = scene.door.store.rows()
    scene.restart(operators=[Sealer(Site(SITE_KEY), bytes(32)).public])
    for file in scene.folder.glob("north.db*"):
        assert row.payload[50:] not in file.read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE record SET payload = zeroblob(300) WHERE subject = 'alice'", "not-sealed"),
        ("UPDATE record SET payload = CAST(x'01' || zeroblob(300) AS BLOB) WHERE subject = 'alice'",
         "other-site"),
        ("UPDATE record SET payload = (SELECT payload FROM record WHERE subject = 'bob')"
         " WHERE subject = 'alice'", "moved"),
        ("UPDATE record SET subject = 'älice' WHERE subject = 'alice'", "malformed"),
        ("UPDATE record SET subject = 'a/b' WHERE subject = 'alice'", "moved"),
        ("DELETE FROM record WHERE subject = 'alice'", None),
    ],
)  # fmt: skip
def test_a_damaged_row_costs_one_subject_until_the_broker_is_there(
    scene: Scene, change: str, reason: str | None
) -> None:
    scene.enroll("alice", "bob")
    scene.live()
    scene.damage(change)
    scene.restart()
    expected = ["store-changed"] if reason is None else [reason, "store-changed"]
    assert scene.reasons() == expected
    assert scene.door.gallery.subjects == ["bob"]
    assert scene.grants("bob")
    scene.live()
    scene.check()
    scene.restart()
    scene.check()
    assert scene.reasons() == expected, "told again after it was mended"


@pytest.mark.parametrize("payload", ["zeroblob(0)", "zeroblob(300)", "x'01'"])
def test_a_damaged_head_lets_nobody_in_until_the_broker_is_there(
    scene: Scene, payload: str
) -> None:
    scene.enroll("alice")
    scene.live()
    scene.damage(f"UPDATE head SET payload = {payload}")
    scene.restart()
    assert len(scene.door.gallery) == 0
    scene.live()
    scene.check()


def test_what_is_lost_is_asked_for_again_while_others_are_changed(scene: Scene) -> None:
    scene.enroll(*(f"s{number}" for number in range(20)))
    scene.broker.lost = {scene.operator.topic_of("s3")}
    scene.live(TURN_S)
    for number in range(10):
        scene.operator.suspend("s5", bool(number % 2))
        scene.broker.keep([scene.operator.record("s5")])
        scene.live(0.5)
    scene.broker.lost.clear()
    scene.live(4)
    assert scene.grants("s3")
