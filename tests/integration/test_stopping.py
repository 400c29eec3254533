"""SIGTERM: said at once, and gone within 5 s, whatever hangs."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from ostiary.edge.core.types import Template
from ostiary.edge.daemon.shutdown import LAST_WORDS_S, LEAVE_S, children
from scripts import trial
from tests.support.doors.notified import GONE_S, Blocked, Manager, Service, ends, held_up, ready
from tests.support.doors.real_daemon import Listener, eventually


def test_a_signal_while_the_models_load_is_answered_at_once(
    tmp_path: Path, service: Service, manager: Manager
) -> None:
    held_up(tmp_path, service)
    # Sooner than what hangs is left behind: nothing is waited for.
    assert ends(service, within_s=LEAVE_S) == 0
    assert manager.times("READY=1") == []


def test_a_broker_that_is_stuck_and_a_full_outbox_hold_nothing_up(
    service: Service, manager: Manager, broker: trial.Mosquitto
) -> None:
    assert broker._process is not None
    with service:
        listener = Listener(broker.port)
        assert listener.until(lambda heard: len(heard.decisions) > 3), service.log()
        listener.close()
        broker._process.send_signal(signal.SIGSTOP)
        try:
            journal = service.journal()
            assert eventually(lambda: journal.pending_count() > 50), service.log()
            assert ends(service) == 0
            assert journal.pending_count() > 50
            assert journal.broken_at() is None
            journal.close()
        finally:
            broker._process.send_signal(signal.SIGCONT)


def is_pipeline(process: int) -> bool:
    """Whether a child of the door has become its pipeline: stopped before, it would never be."""
    return b"gst-launch" in Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_pipeline_that_is_stuck_holds_nothing_up(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, manager: Manager
) -> None:
    stuck = "gst:videotestsrc num-buffers=1 ! identity sleep-time=200000000"
    service = Service(tmp_path / "door", bundle_dir, stuck, broker.port)
    service.manager = manager
    with service:
        assert ready(manager), service.log()
        assert eventually(lambda: any(map(is_pipeline, children(service.pid))))
        (pipeline,) = children(service.pid)
        os.kill(pipeline, signal.SIGSTOP)
        assert ends(service) == 0
        # Whoever adopts a killed process clears it away, a moment later.
        assert eventually(lambda: not Path(f"/proc/{pipeline}").exists())


def test_a_camera_that_hangs_in_its_library_holds_nothing_up(
    tmp_path: Path, service: Service, manager: Manager
) -> None:
    blocked = Blocked(tmp_path / "entry", "sources.FolderSource", "read")
    blocked.hang()
    service.entry = (str(blocked.script),)
    with service:
        assert blocked.reached(), service.log()
        assert ready(manager), service.log()
        assert ends(service) == 0
        assert "the camera does not respond" in service.log()


@pytest.mark.parametrize("ends_when_asked", [True, False], ids=["lets-go", "ignores"])
def test_a_door_that_hangs_is_asked_to_let_go_and_holds_nothing_up(
    tmp_path: Path, bundle_dir: Path, camera: str, broker: trial.Mosquitto, manager: Manager,
    eileen: Template, ends_when_asked: bool,
) -> None:  # fmt: skip
    began, released, inherited = tmp_path / "began", tmp_path / "released", tmp_path / "inherited"
    last = "exit 0" if ends_when_asked else "true"
    script = (
        f"trap 'touch {released}; {last}' TERM; env > {inherited}; touch {began};"
        " while true; do sleep 0.1; done"
    )
    more = f"[door]\naction = '''exec:bash -c \"{script}\"'''\ntimeout_s = 60"
    service = Service(tmp_path / "door", bundle_dir, camera, broker.port, more=more)
    service.manager = manager
    service.enroll(eileen)
    with service:
        assert eventually(began.exists), service.log()
        (program,) = children(service.pid)
        assert ends(service) == 0
        assert released.exists()
        assert "PATH=" in inherited.read_text()
        assert "NOTIFY_SOCKET" not in inherited.read_text()
        assert not Path(f"/proc/{program}").exists()


def test_a_log_that_nobody_reads_holds_nothing_up(service: Service, manager: Manager) -> None:
    """The loop hangs in a log line, and so would the last words: the kernel's timer ends it."""
    # Nothing leaves later. What is measured has slack for a busy machine, and these have none.
    assert LEAVE_S + LAST_WORDS_S < GONE_S
    reading, writing = os.pipe()
    service.stderr, service.watchdog_s = writing, 0.4
    with service:
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) >= 2)
        # A description of its own, since the daemon's must go on waiting.
        filling = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while os.write(filling, b"\n"):
                pass
        fed = len(manager.times("WATCHDOG=1")) + 1
        assert not manager.until(lambda heard: len(heard.times("WATCHDOG=1")) > fed, 2.0)
        assert ends(service) == -signal.SIGALRM
    for descriptor in (reading, writing, filling):
        os.close(descriptor)
