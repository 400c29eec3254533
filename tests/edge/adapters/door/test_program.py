"""The actuator, and what it says when it fails."""

import logging
import sys
from pathlib import Path

import pytest

from ostiary.edge.adapters.door.base import make_door
from ostiary.edge.errors import ConfigError, DoorError


def test_a_program_is_run_without_a_shell(tmp_path: Path) -> None:
    marker = tmp_path / "opened; rm -rf"
    make_door(
        f"exec:{sys.executable} -c 'import sys; open(sys.argv[1], \"w\")' '{marker}'", 20
    ).open()
    assert marker.exists()


@pytest.mark.parametrize(
    ("action", "limit_s", "message"),
    [
        ("exec:false", 20, "exit code 1"),
        ("exec:/no/such/program", 20, "No such file"),
        ("exec:sleep 30", 0.2, "more than 0.2 s"),
    ],
)
def test_a_door_that_fails_says_how(action: str, limit_s: float, message: str) -> None:
    with pytest.raises(DoorError, match=message):
        make_door(action, limit_s).open()


def test_a_program_that_takes_too_long_may_let_go_of_the_relay(tmp_path: Path) -> None:
    released = tmp_path / "released"
    script = f"trap 'touch {released}; exit 1' TERM; sleep 30 & wait"
    # As long as a busy machine may take until bash has set its trap.
    with pytest.raises(DoorError, match="more than"):
        make_door(f'exec:bash -c "{script}"', 3).open()
    assert released.exists()


def test_what_a_program_leaves_behind_holds_up_nobody() -> None:
    make_door("exec:sh -c 'sleep 20 &'", 10.0).open()


def test_the_log_door_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        make_door("log:", 1).open()
    assert "door: open" in caplog.text


@pytest.mark.parametrize("action", ["", "exec:", "wizard:17", "log:loud", "exec:a 'b"])
def test_unknown_actions_are_refused(action: str) -> None:
    with pytest.raises(ConfigError, match="door action"):
        make_door(action, 1)
