"""`ostiary run`: a daemon that asks for a restart gets it, in the foreground and under systemd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ostiary.edge.adapters import logs
from ostiary.edge.cli import door


class Lives:
    """In place of the daemon: how often it asks to run again, and the arguments of each run."""

    def __init__(self, wanting: int) -> None:
        self.left, self.given = wanting, list[tuple[object, ...]]()
        self.stop = False

    def __call__(self, *given: object) -> Lives:
        self.given.append(given)
        return self

    def run(self) -> bool:
        self.given[-1][2].wanted = self.stop  # type: ignore[attr-defined]
        self.left -= 1
        return True

    @property
    def restart_wanted(self) -> bool:
        return self.left >= 0


class Quiet:
    """Shutdown without signals."""

    def __init__(self, service: object) -> None:
        self.wanted = False

    def listen(self) -> None:
        """No handlers in the process of the tests."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lives], None]:
    profile = tmp_path / "door.toml"
    profile.write_text(
        '[device]\nsite = "hq"\nid = "door"\n[bundle]\npath = "a"\n'
        '[camera]\nurl = "v4l2:"\n[state]\npath = "state"\n'
    )
    monkeypatch.setattr(door, "Shutdown", Quiet)
    monkeypatch.setattr(logs, "set_up", lambda level: None)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    def live(lives: Lives) -> None:
        monkeypatch.setattr(door, "assemble", lives)
        door.run(profile)

    return live


def test_in_the_foreground_a_daemon_that_asks_for_it_runs_again(
    run: Callable[[Lives], None],
) -> None:
    lives = Lives(wanting=2)
    run(lives)
    assert len(lives.given) == 3
    # A shutdown deadline that expired in the first run would end the second one at once.
    assert len({id(given[2]) for given in lives.given}) == 3


def test_a_daemon_that_does_not_ask_runs_once(run: Callable[[Lives], None]) -> None:
    lives = Lives(wanting=0)
    run(lives)
    assert len(lives.given) == 1


def test_under_systemd_the_process_ends_and_is_started_again(
    run: Callable[[Lives], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    lives = Lives(wanting=2)
    run(lives)
    assert len(lives.given) == 1


def test_a_signal_ends_the_daemon_even_if_it_asks_to_run_again(
    run: Callable[[Lives], None],
) -> None:
    lives = Lives(wanting=2)
    lives.stop = True
    run(lives)
    assert len(lives.given) == 1
