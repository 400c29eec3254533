"""The events that the syncer reports: messages refused, late, missing or of no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostiary.edge.remote.syncer import ABSENT_S
from tests.support.roster.operator import SEED, Operator
from tests.support.roster.scene import TURN_S, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_nothing_of_use_is_told_once_and_asked_ever_later(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.broker.lost = {scene.operator.topic_of("alice")}
    scene.live(20)
    assert scene.reasons("roster-incomplete") == ["missing"]
    assert scene.grants("bob")
    said = scene.broker.acknowledged()
    assert (said.complete, said.missing, said.subjects) == (False, 1, 1)
    asked = scene.broker.topics_asked().count(scene.operator.topic_of("alice"))
    scene.live(60)
    again = scene.broker.topics_asked().count(scene.operator.topic_of("alice"))
    assert again - asked <= 3
    assert scene.reasons("roster-incomplete") == ["missing"]
    scene.broker.lost.clear()
    scene.live(70)
    scene.check()


def test_a_later_publish_repairs_at_once(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    scene.broker.kept[scene.operator.topic_of("alice")] = b"garbage"
    scene.live(120)
    assert set(scene.reasons()) == {"not-sealed"}
    scene.broker.keep(list(scene.operator.everything()))
    scene.live()
    scene.check()


def test_an_index_that_is_no_good_is_repaired_at_once_too(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    indexes = [topic for topic in scene.broker.kept if "/index/" in topic]
    for topic in indexes:
        scene.broker.kept[topic] = b"garbage"
    scene.live(120)
    assert set(scene.reasons()) == {"not-sealed"}
    assert scene.reasons("roster-incomplete") == ["missing"]
    # As the operator's client does: it compares, and publishes only what differs.
    scene.broker.keep([*(scene.operator.index(topic[-2:]) for topic in indexes)])
    scene.broker.keep([scene.operator.head()])
    scene.live()
    scene.check()


def test_no_head_at_all_is_told_once(scene: Scene) -> None:
    scene.live(ABSENT_S - 1)
    assert not scene.events
    scene.live(60)
    assert [said[:2] for said in scene.events] == [("roster-absent", "no-head")]
    assert scene.broker.acknowledged().sequence == 0
    scene.enroll("alice")
    scene.live()
    scene.check()


def test_late_messages_raise_no_event_while_catching_up_but_do_afterwards(scene: Scene) -> None:
    scene.enroll("alice", "bob")
    old = scene.operator.record("alice")
    gone = scene.operator.record("bob")
    scene.operator.suspend("alice")
    scene.broker.keep(list(scene.operator.changes(["alice"])))
    scene.broker.keep(list(scene.operator.erase("bob")))
    scene.live()
    old_index = scene.operator.index("00")
    scene.broker.keep([old, gone])
    scene.live()
    assert scene.reasons() == ["old-record", "not-in-index"]
    # The same from a broker that kept the session: the messages come before the head, at once.
    scene.broker.connection += 1
    scene.broker.keep([old, gone, old_index])
    scene.live()
    assert scene.reasons() == ["old-record", "not-in-index"]
    scene.broker.keep([old, gone])
    scene.live()
    assert scene.reasons() == ["old-record", "not-in-index"] * 2
    scene.check()


def test_what_the_broker_kept_for_us_may_come_over_several_turns(scene: Scene) -> None:
    scene.enroll("alice")
    old = scene.operator.record("alice")
    scene.operator.suspend("alice")
    scene.broker.keep(list(scene.operator.changes(["alice"])))
    scene.live()
    # The head comes last, after the messages that the session had queued.
    scene.broker.lost = {scene.operator.topics.head}
    scene.broker.connection += 1
    scene.live()
    scene.broker.keep([old])
    scene.live()
    assert not scene.events
    # A message published while the device was away is followed by other queued ones.
    for waiting in (scene.operator.head(), old):
        scene.broker.keep([waiting])
        scene.live()
    assert not scene.events
    scene.broker.replay(scene.operator.topics.head)
    scene.live()
    scene.broker.keep([old])
    scene.live()
    assert scene.reasons() == ["old-record"]


@pytest.mark.parametrize("between_s", [3.0, 0.0])
def test_a_subject_erased_before_any_head_is_not_an_attack(scene: Scene, between_s: float) -> None:
    scene.enroll("alice")
    scene.live()
    scene.operator.enroll("bob", 2)
    scene.broker.keep([scene.operator.record("bob")])
    scene.live(between_s)
    del scene.operator.records["bob"]
    scene.operator.sequence += 1
    scene.broker.keep([scene.operator.head()])
    scene.live()
    assert not scene.events


def test_a_record_followed_by_a_lost_change_is_not_an_attack(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    scene.operator.enroll("bob", 2)
    first = scene.operator.record("bob")
    scene.operator.suspend("bob")
    _, *rest = scene.operator.changes(["bob"])
    # The second record is lost: the broker's queue for this device is full.
    scene.broker.keep([first])
    scene.live(TURN_S)
    scene.broker.kept.update([scene.operator.record("bob")])
    scene.broker.keep(rest)
    scene.live()
    scene.check()
    assert not scene.events
    scene.broker.keep([first])
    scene.live()
    assert scene.reasons() == ["old-record"]


@pytest.mark.parametrize("lost", [[], ["alice"]])
def test_an_old_head_is_told_of_always(scene: Scene, lost: list[str]) -> None:
    scene.enroll("alice")
    old = scene.broker.kept[scene.operator.topics.head]
    scene.enroll("bob")
    scene.broker.lost = set(map(scene.operator.topic_of, lost))
    scene.live()
    scene.broker.kept[scene.operator.topics.head] = old
    scene.broker.connection += 1
    scene.live()
    assert scene.reasons() == ["old-head"]
    scene.broker.lost.clear()
    scene.live(10)
    scene.check()


def test_another_operators_words_change_nothing(scene: Scene) -> None:
    scene.enroll("alice")
    scene.live()
    stranger = Operator(seed=bytes(reversed(SEED)), wall=scene.wall)
    stranger.sequence = 50
    stranger.enroll("mallory", 9)
    stranger.revoke("alice")
    kept = dict(scene.broker.kept)
    scene.broker.keep(list(stranger.everything()))
    scene.live()
    assert set(scene.reasons()) == {"unknown-operator"}
    assert scene.grants("alice")
    assert scene.broker.acknowledged().complete
    scene.broker.kept = kept
    scene.check()
