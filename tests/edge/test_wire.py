"""Messages are read back as they were written; topics are built and parsed."""

import msgspec
import pytest

from ostiary.edge import wire
from ostiary.edge.core.types import Outcome, Reason
from ostiary.edge.wire import (
    DecisionMessage,
    EventMessage,
    RosterTopics,
    StateMessage,
    TelemetryMessage,
    Topics,
)

SITES = ("hq", "roster", "command", "device", "head", "ostiary")
"""A site's id may be any id, even a word that the topics use."""

MESSAGES = [
    DecisionMessage(
        id="a1", seq=7, at=wire.utc(0), outcome=Outcome.DENIED, reason=Reason.LOW_QUALITY,
        mode="identify", subject=None, score=None, tau=None, k=0, encoder="e", track=None,
        latency_ms={"total": 1.5},
    ),
    DecisionMessage(
        id="a2", seq=8, at=wire.utc(0), outcome=Outcome.GRANTED, reason=Reason.MATCHED,
        mode="verify", subject="alice", score=0.7, tau=0.3, k=1, encoder="e", track=4,
        latency_ms={}, probability=0.9876, least_probability=0.91,
    ),
    StateMessage(status="online", session=4, tau=0.5, least_probability=0.91),
    StateMessage(status="online", session=3, refused_backends=("x: y",), tau=0.5),
    StateMessage(status="online", session=3, warnings=("the encoder is weak", "so is int8")),
    EventMessage(event="camera-lost", at=wire.utc(1.5), detail="unplugged"),
    TelemetryMessage(
        at=wire.utc(0), uptime_s=1, frames=2, fps=3, frame_ms_p50=4, frame_ms_p95=5, memory_mb=6,
        pending=7, k=8,
    ),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_is_read_back(message: wire.Message) -> None:
    assert wire.decode(wire.encode(message), type(message)) == message


def test_a_field_of_a_newer_version_is_ignored_and_a_wrong_one_named() -> None:
    newer = b'{"event":"x","at":"t","later":1}'
    assert wire.decode(newer, EventMessage).event == "x"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.at"):
        wire.decode(b'{"event":"x","at":1}', EventMessage)


def test_a_decision_without_a_probability_is_read() -> None:
    older = wire.encode(MESSAGES[0]).replace(b',"probability":null,"least_probability":null', b"")
    assert b"probability" not in older
    assert wire.decode(older, DecisionMessage) == MESSAGES[0]


def test_an_answer_of_a_device_that_counts_no_frames_is_read() -> None:
    answer = wire.Response(nonce="00", ok=True, encoder="e", template=b"abcd")
    older = wire.encode(answer).replace(b',"photos":0', b"")
    assert b"photos" not in older
    assert wire.decode(older, wire.Response) == answer


def test_times_are_utc_to_the_millisecond() -> None:
    assert wire.utc(0) == "1970-01-01T00:00:00.000Z"
    assert wire.utc(1795248000.0009) == "2026-11-21T08:00:00.000Z"


def test_topics_name_one_device() -> None:
    topics = Topics("hq", "north")
    assert topics.decision == "ostiary/1/hq/device/north/decision"
    assert topics.state == "ostiary/1/hq/device/north/state"


@pytest.mark.parametrize("site", SITES)
def test_the_rosters_topics_are_read_back_whatever_the_site_is_called(site: str) -> None:
    topics = RosterTopics(site)
    assert topics.parse(topics.head) == ("head",)
    assert topics.parse(topics.index("ab")) == ("index", "ab")
    assert topics.parse(topics.subject("ab", "roster")) == ("subject", "ab", "roster")


@pytest.mark.parametrize("site", SITES)
def test_topics_outside_this_sites_roster_are_not_parsed(site: str) -> None:
    topics, base = RosterTopics(site), f"ostiary/1/{site}/roster"
    for wrong in (
        "", base, f"{base}/", f"{base}/other", f"{base}/head/x", f"{base}/index",
        f"{base}/index/ab/c", f"{base}/subject/ab", f"{base}/subject/ab/alice/x", f"{base}x/head",
        f"x{base}/head", f"{base}/roster/head", f"ostiary/1/{site}/head", "head",
        RosterTopics("branch").head, RosterTopics("branch").subject("ab", "alice"),
        Topics(site, "north").roster, Topics(site, "roster").roster,
    ):  # fmt: skip
        assert topics.parse(wrong) is None, wrong


@pytest.mark.parametrize("device", ["north", "command", "device"])
@pytest.mark.parametrize("site", SITES)
def test_commands_are_recognised_whatever_site_and_device_are_called(
    site: str, device: str
) -> None:
    topics, roster = Topics(site, device), RosterTopics(site)
    assert topics.is_command(topics.command("open"))
    assert topics.is_command(Topics(site, "south").command("open"))
    for other in (
        topics.response("open"), topics.roster, topics.state, topics.event, topics.decision,
        roster.head, roster.index("ab"), roster.subject("ab", "command"),
        Topics("branch", device).command("open"), f"x{topics.command('open')}",
        "north/command/open",
    ):  # fmt: skip
        assert not topics.is_command(other), other
