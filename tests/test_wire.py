"""Messages there and back, and the topics they go to."""

import msgspec
import pytest

from edge import wire
from edge.core.types import Outcome, Reason
from edge.wire import DecisionMessage, EventMessage, StateMessage, TelemetryMessage, Topics

MESSAGES = [
    DecisionMessage(
        id="a1", seq=7, at=wire.utc(0), outcome=Outcome.DENIED, reason=Reason.LOW_QUALITY,
        mode="identify", subject=None, score=None, tau=None, k=0, encoder="e", track=None,
        latency_ms={"total": 1.5},
    ),
    StateMessage(status="online", session=3, refused_backends=("x: y",), tau=0.5),
    EventMessage(event="camera-lost", at=wire.utc(1.5), detail="unplugged"),
    TelemetryMessage(
        at=wire.utc(0), uptime_s=1, frames=2, fps=3, frame_ms_p50=4, frame_ms_p95=5, memory_mb=6,
        pending=7, k=8,
    ),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_comes_back(message: wire.Message) -> None:
    assert wire.decode(wire.encode(message), type(message)) == message


def test_a_field_of_a_newer_version_is_ignored_and_a_wrong_one_named() -> None:
    newer = b'{"event":"x","at":"t","later":1}'
    assert wire.decode(newer, EventMessage).event == "x"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.at"):
        wire.decode(b'{"event":"x","at":1}', EventMessage)


def test_times_are_utc_to_the_millisecond() -> None:
    assert wire.utc(0) == "1970-01-01T00:00:00.000Z"
    assert wire.utc(1795248000.0009) == "2026-11-21T08:00:00.000Z"


def test_topics_are_of_one_device() -> None:
    topics = Topics("hq", "north")
    assert topics.decision == "ostiary/1/hq/device/north/decision"
    assert topics.state == "ostiary/1/hq/device/north/state"
