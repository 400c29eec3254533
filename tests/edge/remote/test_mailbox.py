"""The mailbox: which messages are opened or refused and why, and its limits on memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.errors import SealError
from ostiary.edge.remote.mailbox import WAITING, Mailbox
from ostiary.edge.roster.changes import Sealed, SealedHead
from ostiary.edge.roster.record import shard_of
from ostiary.edge.roster.sealing import Opener, Site
from ostiary.edge.wire import RosterTopics
from tests.support.roster.operator import SITE, SITE_KEY, Operator, Said

SHARD = shard_of("alice")


@pytest.fixture
def operator() -> Operator:
    made = Operator(wall=lambda: 1_800_000_000.0)
    made.enroll("alice", 1)
    return made


def mailbox(operator: Operator, site: str = SITE) -> Mailbox:
    return Mailbox(RosterTopics(site), Opener(Site(SITE_KEY), [operator.sealer.public]))


def came(said: Said, retained: bool = False, again: bool = False) -> Received:
    topic, payload = said
    return Received(topic, payload, retained, None, None, again, 3)


def everything(operator: Operator) -> dict[str, Said]:
    """Alice's record, the index of her shard and the head; in this order, as they are published."""
    said = operator.record("alice"), operator.index(SHARD), operator.head()
    return dict(zip(("subject", "index", "head"), said, strict=True))


@pytest.mark.parametrize("site", [SITE, "roster", "command"])
def test_what_is_genuine_is_opened_and_taken_in_its_order(site: str) -> None:
    operator = Operator(site, wall=lambda: 1_800_000_000.0)
    alice = operator.enroll("alice", 1)
    said, box = everything(operator), mailbox(operator, site)
    for number, message in enumerate(said.values()):
        box.put(came(message, retained=number == 0, again=number == 1))
    record, index = box.take(2)
    (head,) = box.take(2)
    assert record.topic == ("subject", SHARD, "alice")
    assert record.opened == Sealed(alice, said["subject"][1])
    assert index.topic == ("index", SHARD)
    assert index.opened.shard == SHARD  # type: ignore[union-attr]
    assert head.topic == ("head",)
    assert isinstance(head.opened, SealedHead)
    assert (head.opened.head.sequence, head.opened.payload) == (1, said["head"][1])
    assert [mail.kept for mail in (record, index, head)] == [True, False, False]
    assert {mail.connection for mail in (record, index, head)} == {3}
    assert [mail.again for mail in (record, index, head)] == [False, True, False]
    assert box.take(2) == []


def test_empty_payloads_and_other_topics_are_ignored(operator: Operator) -> None:
    box = mailbox(operator)
    box.put(came((operator.topics.head, b"")))
    for topic in ("ostiary/1/hq/device/north/roster", f"{operator.topics.base}/other", "head"):
        box.put(came((topic, b"sealed")))
    assert box.take(9) == []


def moved(operator: Operator, kind: str) -> Said:
    """A genuine body that the operator sealed for a topic that contradicts the body."""
    elsewhere = {
        "index": operator.topics.index("00" if SHARD != "00" else "01"),
        "subject": operator.topics.subject(SHARD, "bob"),
    }[kind]
    topic, payload = everything(operator)[kind]
    body = Opener(Site(SITE_KEY), [operator.sealer.public]).open(topic, payload)
    return elsewhere, operator.sealer.seal(elsewhere, body)


def refusable(operator: Operator) -> dict[str, list[Said]]:
    """A refused message for each reason."""
    said = everything(operator)
    head, topic = said["head"][1], operator.topics.head
    stranger = Operator(seed=bytes(32), wall=lambda: 0.0)
    other_site = Operator(site_key=bytes(32), wall=lambda: 0.0)
    return {
        "not-sealed": [(topic, b"\x00"), (topic, b"\x00" + head)],
        "other-site": [
            other_site.head(), (topic, head[:1]), (topic, head[:-1]), (topic, head + bytes(9999)),
        ],
        "unknown-operator": [stranger.head()],
        "moved": [
            (said["index"][0], head), moved(operator, "index"), moved(operator, "subject"),
        ],
        "malformed": [
            (t, operator.sealer.seal(t, b"\xc1")) for t, _ in said.values()
        ],
    }  # fmt: skip


REASONS = ("not-sealed", "other-site", "unknown-operator", "moved", "malformed")


@pytest.mark.parametrize("reason", REASONS)
def test_a_refused_message_is_mail_with_the_reason(operator: Operator, reason: str) -> None:
    box, bad = mailbox(operator), refusable(operator)[reason]
    for message in bad:
        box.put(came(message))
    mails = box.take(99)
    said = [m.opened.reason for m in mails if isinstance(m.opened, SealError)]
    assert said == [reason] * len(bad)
    assert [m.topic for m in mails] == [RosterTopics(SITE).parse(topic) for topic, _ in bad]
    assert all(m.opened.message for m in mails if isinstance(m.opened, SealError))


def test_every_reason_has_its_message(operator: Operator) -> None:
    assert set(refusable(operator)) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_refusal_that_waits_keeps_nothing_of_the_payload(operator: Operator, reason: str) -> None:
    """A traceback would hold the frames, and their arguments, so the payload too."""
    box = mailbox(operator)
    for message in refusable(operator)[reason]:
        box.put(came(message))
    for mail in box.take(99):
        assert isinstance(mail.opened, SealError)
        assert mail.opened.__traceback__ is None
        assert mail.opened.__cause__ is None
        assert mail.opened.__context__ is None


def test_a_hundred_megabytes_that_are_refused_take_no_room() -> None:
    operator = Operator(wall=lambda: 0.0)
    box, megabyte = mailbox(operator), 1_000_000
    bad = operator.head()[1][:-1] + bytes(megabyte)
    tracemalloc.start()
    try:
        for number in range(100):
            # Each payload is an object of its own, as from the network.
            box.put(came((operator.topics.head, bad + bytes([number]))))
        gc.collect()
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < megabyte
    assert len(box.take(999)) == 100


def test_a_flood_waits_up_to_a_limit_and_the_oldest_is_kept(operator: Operator) -> None:
    box, said = mailbox(operator), everything(operator)
    box.put(came(said["head"]))
    for _ in range(WAITING + 10):
        box.put(came((operator.topics.index("00"), b"\x00")))
    mails = box.take(WAITING + 99)
    assert len(mails) == WAITING
    assert isinstance(mails[0].opened, SealedHead)
    box.put(came(said["index"]))
    assert [mail.topic for mail in box.take(9)] == [("index", SHARD)]


def test_what_is_opened_by_name_must_be_of_the_roster(operator: Operator) -> None:
    """The store's records are read this way."""
    box, (topic, payload) = mailbox(operator), operator.record("alice")
    assert box.open(topic, payload) == Sealed(operator.records["alice"], payload)
    with pytest.raises(SealError, match="not a topic of the roster") as refused:
        box.open("ostiary/1/branch/roster/head", payload)
    assert refused.value.reason == "moved"
