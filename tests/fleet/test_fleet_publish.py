"""Publishing: from nothing, again, after damage, cut off anywhere; against a broker in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kept import ENCODER, Door, Kept, enroll, many, template

from edge.roster.record import Head, Record, shard_of
from fleet import publish as publishing
from fleet.home import Fleet
from fleet.people import Person
from fleet.publish import OlderRegistry, Published
from fleet.refusals import BrokerError
from fleet.voice import Voice


def publish(fleet: Fleet, kept: Kept, now: float = 5000.0, **more) -> Published:
    return publishing.publish(fleet, wall=lambda: now, connect=kept.connect, **more)


def publish_changes(fleet: Fleet, kept: Kept, now: float = 5000.0) -> Published:
    return publishing.publish_changes(fleet, wall=lambda: now, connect=kept.connect)


def pulled(fleet: Fleet, kept: Kept) -> Door:
    door = Door(fleet)
    door.pull(kept.kept)
    door.check()
    return door


def assert_equal(fleet: Fleet, kept: Kept) -> None:
    """A device that only reads what is retained ends with what the registry says, and nothing
    else is retained."""
    door, registry = pulled(fleet, kept), fleet.registry()
    assert door.complete
    assert {s: r.revision for s, r in door.records.items()} == registry.entries()
    for subject, record in door.records.items():
        assert record == registry.record(subject)
    voice = Voice(fleet)
    known = {voice.topic_of(s) for s in registry.entries()} | {voice.topics.head}
    known |= {voice.topics.index(name) for name in registry.changed_shards(0)}
    assert kept.kept.keys() == known


def test_an_empty_broker_is_filled_in_the_safe_order(fleet: Fleet) -> None:
    enroll(fleet, "alice", "bob", "carol")
    kept = Kept()
    done = publish(fleet, kept)
    assert (done.sequence, done.subjects, done.missing, done.changed) == (3, 3, 3, 0)
    kinds = [m.topic.split("/")[4] for m in kept.log]
    assert kinds == ["subject"] * 3 + ["index"] * done.indexes + ["head"]
    assert fleet.registry().published == 3
    assert_equal(fleet, kept)


def test_a_second_publish_sends_a_fresh_head_and_nothing_else(fleet: Fleet) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    kept.log.clear()
    again = publish(fleet, kept, now=6000.0)
    assert [m.topic for m in kept.log] == [Voice(fleet).topics.head]
    assert (again.missing, again.changed, again.indexes, again.cleared) == (0, 0, 0, 0)
    head = pulled(fleet, kept).state.head
    assert head is not None
    assert (head.sequence, head.issued_at_s) == (2, 6000.0)


def test_a_broker_that_lost_everything_is_refilled(fleet: Fleet) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    kept.kept.clear()
    done = publish(fleet, kept)
    assert done.missing == 2
    assert_equal(fleet, kept)


@pytest.mark.parametrize("what", ["subject", "index", "head"])
@pytest.mark.parametrize("how", ["garbage", "moved", "gone", "other-operator"])
def test_whatever_is_damaged_is_sent_again_and_only_that(
    fleet: Fleet, what: str, how: str, tmp_path: Path
) -> None:
    enroll(fleet, "alice", "bob", "carol")
    kept = Kept()
    publish(fleet, kept)
    topics = [t for t in kept.kept if t.split("/")[4] == what]
    topic = topics[0]
    if how == "garbage":
        kept.kept[topic] = b"\x01 not ours"
    elif how == "moved":
        kept.kept[topic] = kept.kept[next(t for t in kept.kept if t != topic)]
    elif how == "other-operator":
        kept.kept[topic] = fleet.site().close(topic, b"k" * 8 + b"s" * 64 + b"body")
    else:
        del kept.kept[topic]
    kept.log.clear()
    done = publish(fleet, kept)
    assert [m.topic for m in kept.log] == list(dict.fromkeys([topic, Voice(fleet).topics.head]))
    missing = what == "subject" and how == "gone"
    assert (done.missing, done.changed) == (missing, what == "subject" and not missing)
    assert_equal(fleet, kept)


def test_an_older_genuine_record_on_the_topic_is_replaced(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    old = dict(kept.kept)
    fleet.registry().suspend("alice", 2000.0)
    publish(fleet, kept)
    topic = Voice(fleet).topic_of("alice")
    for which in (topic, Voice(fleet).topics.head):
        kept.kept[which] = old[which]
        publish(fleet, kept)
        assert_equal(fleet, kept)
    assert pulled(fleet, kept).records["alice"].suspended


def test_strange_topics_are_cleared(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    base = Voice(fleet).topics.base
    for strange in ("x", "head/x", "index/zz", "subject/aa", "subject/zz/bob", "a/b/c/d/e",
                    f"subject/{shard_of('bob')}/bob", "subject/00/No Id"):  # fmt: skip
        kept.kept[f"{base}/{strange}"] = b"strange"
    wrong_shard = f"{base}/subject/{'00' if shard_of('alice') != '00' else '01'}/alice"
    kept.kept[wrong_shard] = kept.kept[Voice(fleet).topic_of("alice")]
    kept.kept["ostiary/1/hq/device/door/state"] = b"not ours to clear"
    done = publish(fleet, kept)
    assert done.cleared == 9
    del kept.kept["ostiary/1/hq/device/door/state"]
    assert_equal(fleet, kept)


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
    assert fleet.registry().published == 52
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


def test_an_empty_registry_is_said(fleet: Fleet) -> None:
    with pytest.raises(Exception, match="empty"):
        publish(fleet, Kept())


def test_a_registry_from_a_backup_is_refused_and_taken_over_on_request(
    fleet: Fleet, tmp_path: Path
) -> None:
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    fleet.close()
    backup = tmp_path / "backup.db"
    shutil.copy(fleet.folder / "registry.db", backup)
    fleet.registry().revoke("bob", 2000.0)
    enroll(fleet, "carol")
    publish_changes(fleet, kept)
    door = pulled(fleet, kept)
    fleet.close()
    for extra in fleet.folder.glob("registry.db*"):
        extra.unlink()
    shutil.copy(backup, fleet.folder / "registry.db")
    before = dict(kept.kept)
    for attempt in (publish, publish_changes):
        with pytest.raises(OlderRegistry, match="number 4, this registry 2"):
            attempt(fleet, kept)
    assert kept.kept == before
    done = publish(fleet, kept, take_over=True)
    assert done.took_over == 4
    assert fleet.registry().sequence > 4
    assert_equal(fleet, kept)
    door.pull(kept.kept)
    assert door.complete
    assert door.holds().keys() == {"alice", "bob"}


def test_a_registry_that_went_another_way_is_refused_too(fleet: Fleet, tmp_path: Path) -> None:
    """Restored, and then changed as often as the lost one was: the numbers alone look right."""
    enroll(fleet, "alice", "bob")
    kept = Kept()
    publish(fleet, kept)
    fleet.close()
    backup = tmp_path / "backup.db"
    shutil.copy(fleet.folder / "registry.db", backup)
    fleet.registry().revoke("bob", 2000.0)
    publish_changes(fleet, kept)
    fleet.close()
    for extra in fleet.folder.glob("registry.db*"):
        extra.unlink()
    shutil.copy(backup, fleet.folder / "registry.db")
    fleet.registry().suspend("bob", 2000.0)
    with pytest.raises(OlderRegistry):
        publish_changes(fleet, kept)
    publish(fleet, kept, take_over=True)
    assert_equal(fleet, kept)


def test_taking_over_also_goes_above_what_devices_say_they_hold(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    message = (
        '{"sequence": %d, "digest": "", "complete": true, "subjects": 1, "usable": 1,'
        ' "encoder": "", "coverage": {}, "at": ""}'
    )
    kept.kept["ostiary/1/hq/device/north/roster"] = (message % 500).encode()
    kept.kept["ostiary/1/hq/device/liar/roster"] = (message % 2**52).encode()
    publish(fleet, kept, take_over=True)
    assert 500 < fleet.registry().sequence < 600


@pytest.mark.parametrize("queue", [100, 1000])
def test_a_roster_that_does_not_fit_the_brokers_queue_is_read_back_whole(
    fleet: Fleet, queue: int
) -> None:
    many(fleet, 3000)
    kept = Kept(queue=queue)
    done = publish(fleet, kept)
    assert done.missing == 3000
    kept.log.clear()
    again = publish(fleet, kept)
    assert (again.missing, again.changed, again.indexes) == (0, 0, 0)
    assert len(kept.log) == 1


def test_a_broker_that_keeps_nothing_is_said(fleet: Fleet) -> None:
    class Forgets(Kept):
        def read(self, *_: object, **__: object) -> dict[str, bytes]:
            return {}

    enroll(fleet, "alice")
    with pytest.raises(BrokerError, match="does not give it back"):
        publish(fleet, Forgets())


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
    registry.put(Person(subject="frank"), {ENCODER: template(9)}, 2000.0)


@pytest.mark.parametrize("short", [True, False])
def test_cut_off_after_any_message_nobody_is_let_in_who_should_not_be(
    fleet: Fleet, short: bool
) -> None:
    kept = Kept()
    after_history(fleet, kept)
    registry, before, published = fleet.registry(), dict(kept.kept), fleet.registry().published
    last = (fleet.folder / publishing.LAST).read_bytes()
    old = pulled(fleet, kept)
    attempt = publish_changes if short else publish
    allowed = {(s, r) for s, r in registry.entries().items()} | {
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
        def read(self, *given, **more) -> dict[str, bytes]:
            with pytest.raises(Exception, match="another ostiary-fleet is publishing"):
                publish(fleet, Kept())
            return super().read(*given, **more)

    publish(fleet, Second())


def test_heads_and_tombstones_are_what_devices_expect(fleet: Fleet) -> None:
    """A head that could not be opened would leave every device where it is."""
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    voice = Voice(fleet)
    head = voice.opened(voice.topics.head, kept.kept[voice.topics.head], Head)
    assert head == fleet.registry().head(5000.0)
    topic = voice.topic_of("alice")
    assert voice.opened(topic, kept.kept[topic], Record) == fleet.registry().record("alice")
