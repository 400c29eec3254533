"""Which refused roster messages are reported as an attack, and which are only late or repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.roster.operator import Operator, Said
from tests.support.roster.scene import TURN_S, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def history(scene: Scene) -> tuple[list[Said], Said]:
    """Alice's record and head from before her suspension, which the door knows; and its head."""
    scene.enroll("alice")
    old = [scene.operator.record("alice"), scene.operator.head()]
    scene.operator.suspend("alice")
    scene.broker.keep(list(scene.operator.changes(["alice"])))
    scene.live()
    topic = scene.operator.topics.head
    return old, (topic, scene.broker.kept[topic])


def away(scene: Scene) -> None:
    """Reconnect; the head that the broker retains has not come yet."""
    scene.broker.lost = {scene.operator.topics.head}
    scene.broker.connection += 1
    scene.live()


@pytest.mark.parametrize("retained", [True, False])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_repeated_message_is_not_an_attack(scene: Scene, retained: bool, turns: int) -> None:
    """Its acknowledgement was lost with the connection, and later messages had come already."""
    old, (head, payload) = history(scene)
    scene.broker.lost = {head}
    scene.broker.connection += 1
    for message in (*reversed(old), (head, payload)):
        scene.broker.bring(*message, retained, again=True)
        scene.live(turns * TURN_S)
    scene.broker.replay(head)
    scene.live()
    assert not scene.events
    scene.check()
    scene.broker.keep(old)
    scene.live()
    assert scene.reasons() == ["old-record", "old-head"]


def test_a_head_that_comes_again_does_not_end_what_was_queued(scene: Scene) -> None:
    (record, _), head = history(scene)
    away(scene)
    scene.broker.bring(*head, retained=True, again=True)
    scene.broker.bring(*record, retained=False)
    scene.live()
    assert not scene.events


def test_what_comes_again_is_refused_for_no_other_reason(scene: Scene) -> None:
    _, (topic, _) = history(scene)
    other = Operator(wall=scene.wall)
    other.sequence = scene.operator.sequence
    away(scene)
    scene.broker.bring(topic, other.head()[1], retained=False, again=True)
    scene.live()
    assert scene.reasons() == ["conflicting-head"]


def test_nothing_comes_again_behind_what_the_broker_keeps(scene: Scene) -> None:
    old, _ = history(scene)
    for message in old:
        scene.broker.bring(*message, retained=False, again=True)
    scene.live()
    assert scene.reasons() == ["old-record", "old-head"]


def test_of_two_in_one_turn_only_one_comes_again(scene: Scene) -> None:
    (_, head), _ = history(scene)
    away(scene)
    for again in (True, False):
        scene.broker.bring(*head, retained=False, again=again)
    scene.live()
    assert scene.reasons() == ["old-head"]


def test_a_new_connection_starts_without_the_state_of_the_last_one(scene: Scene) -> None:
    (_, old), head = history(scene)
    scene.broker.bring(*head, retained=True)
    scene.broker.connection += 1
    scene.broker.bring(*old, retained=False, again=True)
    scene.live()
    assert not scene.events


def test_late_and_attack_in_one_turn_are_told_apart(scene: Scene) -> None:
    (record, _), head = history(scene)
    away(scene)
    scene.broker.bring(*record, retained=False)
    scene.live(TURN_S)
    assert not scene.events
    scene.broker.bring(*record, retained=False)
    scene.broker.bring(*head, retained=True)
    scene.broker.bring(*record, retained=False)
    scene.live()
    assert scene.reasons() == ["old-record"]


def miss(scene: Scene, subject: str) -> None:
    """A subject is enrolled, but the record does not come."""
    scene.operator.enroll(subject, 2)
    scene.broker.lost.add(scene.operator.topic_of(subject))
    scene.broker.keep(list(scene.operator.changes([subject]))[1:])
    scene.live()


MISSING = "roster-incomplete", "missing", "1 topics do not bring what the index says"


def test_what_came_before_or_again_is_not_blamed_for_what_is_missing(scene: Scene) -> None:
    old, _ = history(scene)
    scene.broker.bring(*old[0], retained=True)
    away(scene)
    for message in old:
        scene.broker.bring(*message, retained=False, again=True)
    scene.live()
    miss(scene, "bob")
    scene.broker.bring(*old[1], retained=False, again=True)
    scene.live(20)
    assert scene.events == [MISSING]


def test_nothing_late_is_suspected_while_something_is_missing(scene: Scene) -> None:
    (record, _), _ = history(scene)
    miss(scene, "bob")
    scene.broker.keep([record])
    scene.live()
    # Also in the turn in which the missing record comes.
    scene.broker.keep([scene.operator.record("bob"), record])
    scene.live()
    scene.check()
    assert not scene.events


def test_a_suspension_that_overtakes_what_was_queued_makes_it_no_attack(scene: Scene) -> None:
    """A QoS 0 message overtakes QoS 1 ones, through a subscription that is still open."""
    history(scene)
    records = []
    for suspended in (False, True):
        scene.operator.suspend("alice", suspended)
        records.append(scene.operator.record("alice"))
    for record in reversed(records):
        scene.broker.bring(*record, retained=False)
    scene.live(TURN_S)
    scene.broker.keep([*records[1:], *scene.operator.changes(["alice"])])
    scene.live()
    assert not scene.events
    scene.check()


def test_what_was_asked_for_may_cross_a_head(scene: Scene) -> None:
    (record, _), _ = history(scene)
    scene.broker.bring(*record, retained=True)
    scene.live()
    assert not scene.events
    scene.broker.bring(*record, retained=False)
    scene.live()
    assert scene.reasons() == ["old-record"]
