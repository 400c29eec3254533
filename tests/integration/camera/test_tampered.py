"""A looped stream: the operator is told, and nobody is let in unless the profile says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ostiary.edge.core.types import Image, Reason, Template
from ostiary.edge.daemon.loop import Daemon
from ostiary.edge.daemon.tampered import Tampered
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.inputs.sensor import PICTURE, Sensor

BUSY_S = 60.0
"""Seconds to wait for what takes the door ten, on a busy machine."""
needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed: scripts/setup"
)


@pytest.fixture
def sensor(portrait: Image) -> Iterator[Sensor]:
    made = Sensor(portrait)
    yield made
    made.close()


@pytest.fixture
def listener(broker: trial.Mosquitto) -> Iterator[Listener]:
    made = Listener(broker.port)
    yield made
    made.close()


def granted(heard: Listener) -> int:
    return sum(d.outcome.value == "granted" for d in heard.decisions)


def looped(heard: Listener) -> bool:
    return "camera-looped" in heard.event_names()


@needs_gstreamer
@pytest.mark.parametrize("how", ["looped", "looped under a clock"])
def test_a_looped_stream_is_told_and_lets_nobody_in(
    tmp_path: Path,
    bundle_dir: Path,
    broker: trial.Mosquitto,
    listener: Listener,
    sensor: Sensor,
    eileen: Template,
    how: str,
) -> None:
    door = Door(tmp_path / "door", bundle_dir, sensor.url, broker.port, camera_more=PICTURE)
    door.enroll(eileen)
    with door:
        assert listener.until(lambda heard: granted(heard) > 0), door.log()
        sensor.does(how)
        assert listener.until(looped, BUSY_S), door.log()
        assert listener.until(lambda heard: heard.states[-1].camera_faults == ("looped",))
        if how != "looped":
            # Pictures that are new by their clock only are looked at, and denied.
            so_far = len(listener.decisions)
            assert listener.until(lambda heard: len(heard.decisions) > so_far + 3), door.log()
            assert {d.reason.value for d in listener.decisions[so_far + 1 :]} == {"degraded"}
        let_in = granted(listener)
        assert door.end() == 0
    assert granted(listener) == let_in
    (event,) = [e for e in listener.events if e.event == "camera-looped"]
    assert "look for what stands between the camera and the door" in event.detail


@needs_gstreamer
def test_a_profile_may_have_it_told_only(
    tmp_path: Path,
    bundle_dir: Path,
    broker: trial.Mosquitto,
    listener: Listener,
    sensor: Sensor,
    eileen: Template,
) -> None:
    more = f"{PICTURE}\nshut_on = []"
    door = Door(tmp_path / "door", bundle_dir, sensor.url, broker.port, camera_more=more)
    door.enroll(eileen)
    sensor.does("looped")
    with door:
        assert listener.until(looped, BUSY_S), door.log()
        let_in = granted(listener)
        assert listener.until(lambda heard: granted(heard) > let_in + 3), door.log()


class Denials:
    """What would be decided."""

    def __init__(self) -> None:
        self.denied: list[Reason] = []
        self.now_s = 100.0

    def deny(self, reason: Reason) -> None:
        self.denied.append(reason)


def test_it_denies_once_in_a_while_for_the_faults_of_the_profile_only() -> None:
    decisions: Any = Denials()
    tampered = Tampered(decisions, ("looped", "moved"), cooldown_s=5.0)
    assert not tampered.bars((), 1)
    assert not tampered.bars(("covered",), 1)
    assert decisions.denied == []
    assert tampered.bars(("covered", "looped"), 1)
    assert tampered.bars(("moved",), 1)
    assert tampered.bars(("moved",), 0)
    assert decisions.denied == [Reason.DEGRADED]
    decisions.now_s += 5.0
    assert tampered.bars(("looped",), 0)
    assert tampered.bars(("looped",), 2)
    assert decisions.denied == [Reason.DEGRADED] * 2


@pytest.mark.parametrize(("faults", "given"), [((), True), (("looped",), False)])
def test_it_enrolls_nobody_from_a_stream_that_is_not_believed(
    faults: tuple[str, ...], given: bool
) -> None:
    frame, taken = SimpleNamespace(at_s=1.0), []

    def obey(shown: object) -> bool:
        taken.append(shown)
        return True

    daemon: Any = SimpleNamespace(
        _parts=SimpleNamespace(
            camera=SimpleNamespace(next=lambda _wait_s: frame, faults=faults),
            decisions=SimpleNamespace(advance=lambda _at_s: None, step=lambda _event: None),
            claims=None,
            publishing=SimpleNamespace(pump=lambda: None),
            upkeep=SimpleNamespace(keep=lambda: None),
            reporter=SimpleNamespace(summary=lambda: ""),
        ),
        _tampered=Tampered(Denials(), ("looped",), 5.0),  # type: ignore[arg-type]
        _faults=SimpleNamespace(passed=lambda: None),
        _service=SimpleNamespace(status=lambda _line: None, turned=lambda: None),
        _obey=obey,
    )
    Daemon._turn(daemon)
    assert taken == [frame if given else None]
