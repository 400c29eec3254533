"""Publishing what changed: alone, in pieces, erased, and cut off after any message."""

from __future__ import annotations

from typing import Any

import pytest

from ostiary.edge.roster.record import Index, shard_of
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.publishing import publish as publishing
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.memory_broker import ENCODER, Kept, enroll, many, template
from tests.support.fleet.publishers import assert_equal, publish, publish_changes, pulled


def test_changes_are_sent_alone_and_an_online_device_follows_without_asking(fleet: Fleet) -> None:
    many(fleet, 50)
    kept = Kept()
    publish(fleet, kept)
    door = pulled(fleet, kept)
    kept.log.clear()
    fleet.registry().revoke("p000007", 2000.0)
    fleet.registry().suspend("p000008", 2000.0)
    done = publish_changes(fleet, kept)
    assert (done.changed, done.everything, done.sequence) == (2, False, 52)
    assert len(kept.log) <= 2 + 2 + 1
    for message in kept.log:
        door.hear(message.topic, message.payload)
    assert door.complete
    assert "p000007" not in door.holds()
    assert door.records["p000008"].suspended
    assert fleet.registry().roster.published == 52
    assert_equal(fleet, kept)


def test_nothing_changed_sends_nothing(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    kept.log.clear()
    assert publish_changes(fleet, kept).changed == 0
    assert kept.log == []


def test_thousands_of_changes_go_in_pieces_that_an_online_device_takes_without_asking(
    fleet: Fleet,
) -> None:
    many(fleet, 700)
    kept = Kept()
    publish(fleet, kept)
    door = pulled(fleet, kept)
    kept.log.clear()
    for subject in ("p000001", "p000002"):
        fleet.registry().suspend(subject, 2000.0)
    many(fleet, 1300, start=700)
    fleet.registry().revoke("p000003", 2000.0)
    assert publish_changes(fleet, kept).changed == 1303
    heads = 0
    for message in kept.log:
        door.hear(message.topic, message.payload)
        door.check()
        if message.topic.endswith("/head"):
            heads += 1
            assert door.complete, f"head {heads} leaves something to ask for"
    assert heads == 3
    assert not door.refused
    assert_equal(fleet, kept)
    kept.log.clear()
    publish(fleet, kept)
    assert len(kept.log) == 1


def test_after_anybody_else_wrote_the_head_everything_is_compared(fleet: Fleet) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    old = dict(kept.kept)
    enroll(fleet, "carol")
    publish_changes(fleet, kept)
    kept.kept.update(old)
    enroll(fleet, "dave")
    assert publish_changes(fleet, kept).everything
    assert_equal(fleet, kept)


def test_an_older_index_that_somebody_put_back_is_not_built_upon(fleet: Fleet) -> None:
    names = many(fleet, 3)
    kept = Kept()
    publish(fleet, kept)
    old = dict(kept.kept)
    fleet.registry().suspend(names[0], 2000.0)
    publish_changes(fleet, kept)
    index = Voice(fleet).topics.index(shard_of(names[0]))
    kept.kept[index] = old[index]
    fleet.registry().resume(names[0], 3000.0)
    assert publish_changes(fleet, kept).everything
    assert_equal(fleet, kept)


@pytest.mark.parametrize("short", [True, False])
def test_who_is_erased_leaves_by_a_tombstone_and_no_topic_is_left(
    fleet: Fleet, short: bool
) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    door = pulled(fleet, kept)
    kept.log.clear()
    fleet.registry().erase("alice", 2000.0)
    done = (publish_changes if short else publish)(fleet, kept)
    assert done.cleared == 1
    topic = Voice(fleet).topic_of("alice")
    first, last = kept.log[0], kept.log[-1]
    assert first.topic == last.topic == topic
    assert not last.payload
    assert kept.log[-2].topic.endswith("/head")
    door.hear(first.topic, first.payload)
    assert "alice" not in door.holds()
    door.pull(kept.kept)
    assert door.complete
    assert "alice" not in door.records
    assert_equal(fleet, kept)


def test_erased_and_enrolled_again_before_anything_was_published(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    fleet.registry().erase("alice", 2000.0)
    enroll(fleet, "alice")
    publish_changes(fleet, kept)
    assert_equal(fleet, kept)


def after_history(fleet: Fleet, kept: Kept) -> None:
    """A broker that holds an older roster, and a registry that went on."""
    registry = fleet.registry()
    enroll(fleet, "alice", "bob", "carol", "dave")
    registry.revoke("dave", 1500.0)
    publish(fleet, kept)
    registry.revoke("bob", 2000.0)
    registry.erase("carol", 2000.0)
    registry.suspend("alice", 2000.0)
    enroll(fleet, "erin")
    registry.put(Person(subject="frank"), {ENCODER: Fused(template(9))}, 2000.0)


@pytest.mark.parametrize("short", [True, False])
def test_cut_off_after_any_message_nobody_is_let_in_who_should_not_be(
    fleet: Fleet, short: bool
) -> None:
    kept = Kept()
    after_history(fleet, kept)
    registry, before, published = (
        fleet.registry(),
        dict(kept.kept),
        fleet.registry().roster.published,
    )
    last = (fleet.folder / publishing.LAST).read_bytes()
    old = pulled(fleet, kept)
    attempt = publish_changes if short else publish
    allowed = {(s, r) for s, r in registry.roster.entries().items()} | {
        (s, r.revision) for s, r in old.records.items()
    }
    cut = 0
    while True:
        kept.kept, kept.log, kept.most = dict(before), [], cut
        (fleet.folder / publishing.LAST).write_bytes(last)
        registry.set_published(published)
        live = pulled(fleet, kept)
        try:
            assert attempt(fleet, kept).everything != short
            break
        except BrokerError:
            pass
        for message in kept.log:
            live.hear(message.topic, message.payload)
        for door in (live, pulled(fleet, kept)):
            held = {(s, r.revision) for s, r in door.holds().items()}
            assert held <= allowed, cut
            assert "dave" not in door.holds(), cut
        if any(m.topic.endswith("/head") for m in kept.log):
            assert pulled(fleet, kept).complete
        kept.most = None
        publish(fleet, kept)
        assert_equal(fleet, kept)
        live.pull(kept.kept)
        assert live.complete
        assert live.holds().keys() == {"alice", "erin", "frank"}
        cut += 1
    assert cut >= 8


def test_cut_off_between_two_heads_the_next_time_compares_everything(fleet: Fleet) -> None:
    many(fleet, 10)
    kept = Kept()
    publish(fleet, kept)
    many(fleet, 1100, start=10)
    kept.most = len(kept.log) + 900
    with pytest.raises(BrokerError):
        publish_changes(fleet, kept)
    assert pulled(fleet, kept).complete
    kept.most = None
    done = publish_changes(fleet, kept)
    assert done.everything
    assert 0 < done.missing < 1100
    assert_equal(fleet, kept)


def test_two_publishers_do_not_interleave(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BUSY_S", 0.0)
    enroll(fleet, "alice")

    class Second(Kept):
        def read(self, *given: Any, **more: Any) -> dict[str, bytes]:
            with pytest.raises(Exception, match="another ostiary-fleet is publishing"):
                publish(fleet, Kept())
            return super().read(*given, **more)

    publish(fleet, Second())


def test_no_interim_head_lists_somebody_as_they_were_before_a_change_it_counts(
    fleet: Fleet,
) -> None:
    """Suspended, 700 enrolled, resumed: the first piece ends between the last two."""
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    door = pulled(fleet, kept)
    before = door.holds()
    fleet.registry().suspend("alice", 2000.0)
    many(fleet, 700)
    fleet.registry().resume("alice", 3000.0)
    kept.log.clear()
    publish_changes(fleet, kept)
    index = Voice(fleet).topics.index(shard_of("alice"))
    interim = next(message for message in kept.log if message.topic == index)
    listed = Voice(fleet).opened(index, interim.payload, Index)
    assert listed is not None
    assert "alice" in before
    assert "alice" not in dict(listed.entries)
    for message in kept.log:
        door.hear(message.topic, message.payload)
    door.pull(kept.kept)
    assert door.complete
    assert "alice" in door.holds()
    assert_equal(fleet, kept)
