"""A lockout at a real daemon: a kill does not end it, an operator does."""

from __future__ import annotations

import signal
from pathlib import Path

from ostiary.edge.core.types import Template
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.places import ostiary

LOCKS = "failures = 1\nfor_s = 3000\nmost_s = 3000"


def reasons(listener: Listener) -> list[str]:
    return [decision.reason for decision in listener.decisions]


def test_a_kill_does_not_end_a_lockout_and_an_operator_does(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    quick = "votes = 1\ndenials = 1\ncooldown_s = 0.2"
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port, quick, lockout=LOCKS)
    profile = tmp_path / "door" / "door.toml"
    with door:
        assert listener.until(lambda h: "repeated-denials" in h.event_names()), door.log()
        assert door.end(signal.SIGKILL) != 0
    shown = ostiary("lockouts", "--config", profile)
    assert shown.returncode == 0, shown.stderr
    assert "face" in shown.stdout
    door.enroll(eileen)
    before = len(listener.decisions)
    with door:
        assert listener.until(lambda h: "locked-out" in reasons(h)[before:]), door.log()
        assert "matched" not in reasons(listener)
        ended = ostiary("lockouts", "--config", profile, "--clear")
        assert "lockouts are ended" in ended.stdout
        assert listener.until(lambda h: "matched" in reasons(h)), door.log()
        assert door.end() == 0
    listener.close()
