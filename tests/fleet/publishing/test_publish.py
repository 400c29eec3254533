"""Publishing everything: from nothing, again, after damage, from a backup; in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.roster.record import EMPTY, Head, Record, shard_of
from ostiary.edge.roster.sealing import HINT, SIGNATURE, Sealer
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.publishing.publish import OlderRegistry
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.memory_broker import Kept, enroll, many
from tests.support.fleet.publishers import assert_equal, publish, publish_changes, pulled


def test_an_empty_broker_is_filled_in_the_safe_order(fleet: Fleet) -> None:
    enroll(fleet, "alice", "bob", "carol")
    kept = Kept()
    done = publish(fleet, kept)
    assert (done.sequence, done.subjects, done.missing, done.changed) == (3, 3, 3, 0)
    kinds = [m.topic.split("/")[4] for m in kept.log]
    assert kinds == ["subject"] * 3 + ["index"] * done.indexes + ["head"]
    assert fleet.registry().roster.published == 3
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
        # The same message, but signed by an operator whom no device trusts.
        body = fleet.site().open(topic, kept.kept[topic])[HINT + SIGNATURE :]
        kept.kept[topic] = Sealer(fleet.site(), b"\1" * 32).seal(topic, body)
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
    topics = Voice(fleet).topics
    for which in (topic, topics.index(shard_of("alice")), topics.head):
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
        with pytest.raises(OlderRegistry, match="number 4, but this registry has 2"):
            attempt(fleet, kept)
    assert kept.kept == before
    done = publish(fleet, kept, take_over=True)
    assert done.took_over == 4
    assert fleet.registry().roster.sequence > 4
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


def test_another_head_of_the_same_number_is_refused(fleet: Fleet) -> None:
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    voice, head = Voice(fleet), fleet.registry().roster.head(4000.0)
    other = voice.head(msgspec.structs.replace(head, sums=(EMPTY, *head.sums[1:])[::-1]))
    kept.kept[other.topic] = other.payload
    with pytest.raises(OlderRegistry, match="another roster of the same number 1"):
        publish(fleet, kept)


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
    assert 500 < fleet.registry().roster.sequence < 600


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


def test_heads_and_tombstones_are_what_devices_expect(fleet: Fleet) -> None:
    """A head that could not be opened would leave every device where it is."""
    enroll(fleet, "alice")
    kept = Kept()
    publish(fleet, kept)
    voice = Voice(fleet)
    head = voice.opened(voice.topics.head, kept.kept[voice.topics.head], Head)
    assert head == fleet.registry().roster.head(5000.0)
    topic = voice.topic_of("alice")
    assert voice.opened(topic, kept.kept[topic], Record) == fleet.registry().roster.record("alice")
