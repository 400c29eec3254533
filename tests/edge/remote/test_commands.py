"""Commands: what is carried out and answered, and each reason for a refusal."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.core.types import Outcome, Reason
from ostiary.edge.remote.commands import AT_ONCE, MAX_BYTES, MOST_AHEAD_S, MOST_WAITING
from ostiary.edge.roster.record import Head, Sum, encode, shard_names
from ostiary.edge.roster.sealing import Sealer, Site
from ostiary.edge.wire import RosterTopics, Topics
from tests.support.doors import commanding
from tests.support.doors.commanding import (
    ENCODER,
    OPERATOR_SEED,
    SITE_KEY,
    FakeLink,
    House,
    asks,
    came,
    command,
    given,
    published,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.link = FakeLink()
    yield made
    made.close()


def test_open_is_journaled_then_done_then_answered(house: House) -> None:
    nonce = bytes(range(16))
    given(house, asks(house, nonce=nonce))
    assert house.door.opened == 1
    (decision,) = house.decisions()
    assert (decision.outcome, decision.reason) == (Outcome.GRANTED, Reason.COMMANDED)
    assert (decision.mode, decision.subject, decision.encoder) == ("command", None, ENCODER)
    ((topic, payload, correlation),) = published(house)
    assert (topic, correlation) == ("ostiary/1/hq/device/north/response/open", b"c")
    answer = house.answer("open", payload)
    assert (answer.nonce, answer.ok, answer.reason) == (nonce.hex(), True, "")
    assert nonce.hex().encode() not in payload
    assert house.reporter.events == []


def test_a_failure_of_the_door_is_answered(house: House) -> None:
    house.door.broken = True
    given(house, asks(house))
    answer = house.answer("open", published(house)[0][1])
    assert (answer.ok, answer.reason) == (False, "door-failed")
    assert house.reporter.events == [("door-failed", "the relay is stuck")]


def test_an_operator_ends_the_lockouts_once_for_each_command(house: House) -> None:
    cleared: list[int] = []
    given(house, asks(house, "clear-lockout"))
    assert house.answer("clear-lockout", published(house)[-1][1]).reason == "not-here"
    house.commander.clears = lambda: cleared.append(1)
    asked = asks(house, "clear-lockout")
    for _ in range(2):
        given(house, asked)
    assert (cleared, house.door.opened, house.refused) == ([1], 0, ["replayed"])
    assert house.answer("clear-lockout", published(house)[-1][1]).ok


@pytest.mark.parametrize("unrecorded", [False, True])
def test_without_a_journal_a_command_opens_only_if_the_profile_allows_it(
    tmp_path: Path, unrecorded: bool
) -> None:
    house = House(tmp_path, unrecorded=unrecorded)
    house.link = FakeLink()
    broken(tmp_path / "journal.db", "decision")
    given(house, asks(house))
    assert house.door.opened == int(unrecorded)
    answer = house.answer("open", published(house)[0][1])
    assert answer.reason == ("" if unrecorded else "not-recorded")
    house.close()


def test_a_command_whose_nonce_cannot_be_stored_is_not_carried_out(
    house: House, tmp_path: Path
) -> None:
    broken(tmp_path / "commands.db", "nonce")
    given(house, asks(house))
    assert (house.door.opened, house.refused) == (0, ["not-recorded"])


def broken(path: Path, table: str) -> None:
    database = sqlite3.connect(path)
    database.execute(f"DROP TABLE {table}")
    database.commit()
    database.close()


def refusable(house: House) -> dict[str, Received]:
    """One message for each reason to refuse."""
    good = asks(house)
    south = good.topic.replace("/north/", "/south/")
    return {
        "retained": came(good.topic, good.payload, good.response_topic, retained=True),
        "other-device": came(south, command(south, house.now + 30), good.response_topic),
        "unknown-command": asks(house, "reboot"),
        "oversized": came(good.topic, bytes(MAX_BYTES + 1), good.response_topic),
        "response-topic": came(good.topic, good.payload, house.topics.response("capture")),
        "not-sealed": came(good.topic, b"", good.response_topic),
        "other-site": asks(house, site_key=bytes(32)),
        "unknown-operator": asks(house, seed=bytes(32)),
        "moved": came(good.topic, command(south, house.now + 30), good.response_topic),
        "malformed": came(good.topic, of_another_kind(good.topic), good.response_topic),
        "expired": asks(house, expires_at_s=house.now),
        "too-far-ahead": asks(house, expires_at_s=house.now + MOST_AHEAD_S + 1),
    }


def of_another_kind(topic: str) -> bytes:
    head = Head(1, 1.0, tuple(Sum(0, bytes(16)) for _ in shard_names()))
    return sealed_by_the_operator(topic, encode(head)[:300])


def sealed_by_the_operator(topic: str, body: bytes) -> bytes:
    return Sealer(Site(SITE_KEY), OPERATOR_SEED).seal(topic, body)


REASONS = (
    "retained", "other-device", "unknown-command", "oversized", "response-topic", "not-sealed",
    "other-site", "unknown-operator", "moved", "malformed", "expired", "too-far-ahead",
)  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_what_is_refused_does_nothing_and_is_an_event(house: House, reason: str) -> None:
    given(house, refusable(house)[reason])
    assert house.refused == [reason]
    assert (house.door.opened, house.decisions(), house.capture.begun) == (0, [], [])
    assert published(house) == []
    assert len(house.nonces) == 0


def test_every_reason_has_its_message(house: House) -> None:
    assert set(refusable(house)) == set(REASONS)


def test_an_answer_that_is_not_wanted_is_no_command(house: House) -> None:
    good = asks(house)
    given(house, came(good.topic, good.payload, None))
    assert house.refused == ["response-topic"]


def test_a_command_is_taken_once_also_after_a_restart(house: House, tmp_path: Path) -> None:
    message = asks(house)
    given(house, message, message)
    assert (house.door.opened, house.refused) == (1, ["replayed"])
    again = House(tmp_path)
    given(again, message)
    assert (again.door.opened, again.refused) == (0, ["replayed"])
    again.close()


def test_a_clock_set_back_makes_nothing_new(house: House) -> None:
    message = asks(house)
    given(house, message)
    house.now += 86_400
    given(house, asks(house))
    house.now -= 86_400
    given(house, message)
    assert (house.door.opened, house.refused) == (2, ["replayed"])


@pytest.mark.parametrize("seed", range(5))
def test_changed_bytes_and_random_ones_open_nothing(house: House, seed: int) -> None:
    chance = random.Random(seed)
    good = asks(house)
    for _ in range(300):
        payload = bytearray(good.payload[: chance.randint(0, len(good.payload))])
        for _ in range(chance.randint(1, 5) if payload else 0):
            payload[chance.randrange(len(payload))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.3:
            payload = bytearray(chance.randbytes(chance.randint(0, 2000)))
        if bytes(payload) != good.payload:
            given(house, came(good.topic, bytes(payload), good.response_topic))
    assert house.door.opened == 0
    assert set(house.refused) <= {"not-sealed", "other-site", "oversized"}
    given(house, good)
    assert house.door.opened == 1


def test_malformed_bodies_of_a_genuine_operator_are_refused_and_raise_nothing(
    house: House,
) -> None:
    chance, topic = random.Random(7), house.topics.command("open")
    for _ in range(500):
        body = chance.randbytes(chance.randint(0, 80))
        payload = sealed_by_the_operator(topic, body)
        given(house, came(topic, payload, house.topics.response("open")))
    assert (house.door.opened, house.refused) == (0, ["malformed"])


def test_a_flood_is_one_event_and_leaves_room_for_a_command(house: House) -> None:
    bad = refusable(house)["unknown-operator"]
    for _ in range(MOST_WAITING + 10):
        house.commander.put(bad)
    house.work()
    assert house.refused == ["unknown-operator", "too-many"]
    for _ in range(MOST_WAITING // AT_ONCE):
        house.work()
    given(house, asks(house))
    assert house.door.opened == 1


def test_one_act_a_turn_for_the_watchdog(house: House) -> None:
    for _ in range(3):
        house.commander.put(asks(house))
    opened = []
    for _ in range(4):
        house.work()
        opened.append(house.door.opened)
    assert opened == [1, 2, 3, 3]


@pytest.mark.parametrize("site", ["hq", "command"])
def test_other_messages_are_ignored_whatever_the_name_of_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    monkeypatch.setattr(commanding, "Topics", lambda _site, device: Topics(site, device))
    house, roster = House(tmp_path), RosterTopics(site)
    for topic in (roster.head, roster.index("ab"), roster.subject("ab", "command")):
        given(house, came(topic, b"sealed", None))
    assert house.refused == []
    given(house, asks(house))
    assert house.door.opened == 1
    house.close()


def test_capture_is_answered_when_it_is_done(house: House) -> None:
    nonce = bytes(16)
    given(house, asks(house, "capture", nonce=nonce, subject="alice", timeout_s=12.0))
    assert house.capture.begun == [("alice", 12.0)]
    assert published(house) == []
    house.work()
    house.capture.end()
    house.work()
    ((topic, payload, correlation),) = published(house)
    assert (topic, correlation) == (house.topics.response("capture"), b"c")
    answer = house.answer("capture", payload)
    assert (answer.nonce, answer.ok, answer.encoder) == (nonce.hex(), True, ENCODER)
    assert np.frombuffer(answer.template, "<f4").tolist() == pytest.approx([0.6, 0.8])
    assert answer.photos == 5
    assert [name for name, _ in house.reporter.events] == ["capture-started", "capture-ended"]
    assert (house.door.opened, house.decisions()) == (0, [])


def test_a_capture_that_failed_says_why_and_gives_nothing(house: House) -> None:
    given(house, asks(house, "capture"))
    house.capture.end("two-faces")
    house.work()
    answer = house.answer("capture", published(house)[0][1])
    assert (answer.ok, answer.reason) == (False, "two-faces")
    assert (answer.template, answer.photos) == (b"", 0)
    assert house.reporter.events[-1] == ("capture-ended", "two-faces: 5 good")


def test_a_second_capture_is_told_to_wait_and_the_first_goes_on(house: House) -> None:
    first, second = bytes([1] * 16), bytes([2] * 16)
    given(house, asks(house, "capture", nonce=first), asks(house, "capture", nonce=second))
    house.capture.end()
    house.work()
    answers = [house.answer("capture", payload) for _, payload, _ in published(house)]
    assert [(a.nonce, a.reason) for a in answers] == [(second.hex(), "busy"), (first.hex(), "")]


def test_without_a_connection_it_is_done_and_the_answer_is_lost(house: House) -> None:
    house.link = None
    given(house, asks(house))
    assert house.door.opened == 1


def test_retained_commands_are_asked_for_never_and_shown_when_live(house: House) -> None:
    (wanted,) = house.commander.filters()
    assert (wanted.topic, wanted.qos) == ("ostiary/1/hq/device/north/command/+", 1)
    assert (wanted.replay, wanted.as_published) == (False, True)
