"""What the device says of decisions, events and itself, to the log and by telemetry."""

import logging
from pathlib import Path

import pytest

from ostiary.edge import wire
from ostiary.edge.adapters.door.base import make_door
from ostiary.edge.adapters.logs import datagram
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.core.types import Decision, Outcome, Reason
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.wire import DecisionMessage, StateMessage, Topics

GRANTED = Decision(Outcome.GRANTED, Reason.MATCHED, "eileen", 0.8, 0.4, 3, 7)


@pytest.fixture
def reporter() -> Reporter:
    return Reporter(Topics("hq", "north"), StateMessage(status="online", session=0), lambda: 0.0)


def own(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name.startswith("OSTIARY_")}


def test_a_decision_carries_its_fields_and_they_are_those_of_the_journal(
    tmp_path: Path, reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j.db")
    recorder = Recorder(journal, make_door("log:", 1), reporter, lambda: 0.0, False)
    with caplog.at_level(logging.INFO):
        entry = recorder.carry_out(GRANTED, "identify", "e" * 64, {"total": 5.123})
    journal.close()
    assert entry is not None
    record = next(r for r in caplog.records if r.name == "ostiary.edge.effects.recorder")
    assert own(record) == {
        "OSTIARY_DECISION": wire.decode(entry.payload, DecisionMessage).id,
        "OSTIARY_SEQ": 1,
        "OSTIARY_OUTCOME": "granted",
        "OSTIARY_REASON": "matched",
        "OSTIARY_LATENCY_MS": 5.12,
    }
    assert b"OSTIARY_OUTCOME=granted\n" in datagram(record, record.getMessage())


def test_an_event_carries_its_name(reporter: Reporter, caplog: pytest.LogCaptureFixture) -> None:
    reporter.event("camera-lost", "unplugged")
    (record,) = caplog.records
    assert record.getMessage() == "camera-lost: unplugged"
    assert own(record) == {"OSTIARY_EVENT": "camera-lost"}


def test_telemetry_knows_the_slowest_frames(reporter: Reporter) -> None:
    sent: list[bytes] = []

    class Link:
        def publish(self, topic: str, payload: bytes, **_: object) -> bool:
            sent.append(payload)
            return True

    reporter.connect(Link())  # type: ignore[arg-type]
    for milliseconds in range(1, 101):
        reporter.spent(float(milliseconds))
    reporter.telemetry(10.0, 10.0, 0)
    message = wire.decode(sent[0], wire.TelemetryMessage)
    found = (message.frame_ms_p50, message.frame_ms_p95, message.frame_ms_p99)
    assert found == (50.5, 95.05, 99.01)


def test_the_summary_is_what_an_operator_asks_first(reporter: Reporter) -> None:
    reporter.change(mode="identify", backend="openvino", precision="int8", k=3, camera="lost")
    reporter.change(journal="ok")
    assert reporter.summary() == (
        "identify on openvino (int8), K 3, camera lost, journal ok, broker none"
    )
