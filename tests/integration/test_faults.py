"""Power cuts, full disks and broken cameras: nothing is lost, nothing opens, all is said."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Template
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener, assert_in_order, wait_for_entries

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed: scripts/setup"
)


def killed_at_random(door: Door, times: int, seed: int) -> None:
    """Start the daemon and kill it without a warning, at moments from start-up to full run."""
    rng = random.Random(seed)
    for _ in range(times):
        door.start()
        threading.Event().wait(rng.uniform(0.3, 1.6))
        door.end(signal.SIGKILL)


def survives(door: Door, listener: Listener, times: int, seed: int) -> None:
    killed_at_random(door, times, seed)
    store = Store(door.state / "store.db")
    # Sessions begin with the count of starts: all that the killed ones said is below this.
    killed = store.count("start") << 20
    store.close()
    with door:
        assert listener.until(
            lambda h: any(s.status == "online" and s.session > killed for s in h.states)
        ), door.log()
        last = door.journal()
        # On a busy machine every run may have been killed before it wrote anything.
        written = max((entry.seq for entry in last.entries()), default=0)
        last.close()
        assert listener.until(lambda h: bool(h.decisions) and h.decisions[-1].seq > written)
        assert door.end() == 0
    journal = door.journal()
    assert journal.broken_at() is None
    payloads = {entry.seq: entry.payload for entry in journal.entries()}
    journal.close()
    assert_in_order(listener.decisions, first=1)
    for decision in listener.decisions:
        assert decision.id.encode() in payloads[decision.seq], "published, but not in the journal"
    assert listener.until(lambda h: h.decisions[-1].seq == max(payloads))
    store = Store(door.state / "store.db")
    assert [row.subject for row in store.subjects()] == ["eileen"]
    store.close()


def test_killed_at_a_few_moments_nothing_is_lost(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    door.enroll(eileen)
    survives(door, listener, times=4, seed=1)
    listener.close()


@pytest.mark.long
def test_killed_at_fifty_moments_nothing_is_lost(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template
) -> None:
    listener = Listener(broker.port)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    door.enroll(eileen)
    survives(door, listener, times=50, seed=2)
    listener.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 512):
            pass


@pytest.mark.parametrize("choice", ["stay-shut", "open-unrecorded"])
def test_with_a_full_disk_the_door_does_what_the_profile_says(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str, eileen: Template,
    small_disk: Path, choice: str,
) -> None:  # fmt: skip
    listener = Listener(broker.port)
    door = Door(
        tmp_path / "door", bundle_dir, camera, broker.port, state=small_disk / "state",
        recognition="votes = 1\ncooldown_s = 0.2\nreopen_s = 0.2",
    )  # fmt: skip
    profile = tmp_path / "door" / "door.toml"
    text = profile.read_text()
    profile.write_text(
        text.replace("[recognition]", f'without_journal = "{choice}"\n[recognition]')
    )
    door.enroll(eileen)
    (door.state / "cache").symlink_to(tmp_path)
    with door:
        assert listener.until(lambda h: len(h.decisions) >= 2), door.log()
        _fill(small_disk / "filler")
        assert listener.until(lambda h: "journal-failed" in h.event_names()), door.log()
        assert listener.until(lambda h: h.states[-1].journal == "failed")
        opened = door.log().count("door: open")
        journal = door.journal()
        granted = len(journal.entries())
        journal.close()
        (small_disk / "filler").unlink()
        assert listener.until(lambda h: h.decisions[-1].seq > granted), door.log()
        assert listener.until(lambda h: h.states[-1].journal == "ok")
        assert door.end() == 0
    if choice == "stay-shut":
        assert opened <= granted
        assert "the door stays shut" in listener.events[-1].detail
    else:
        assert "the door opens unrecorded" in listener.events[-1].detail
    assert_in_order(listener.decisions, first=1)
    listener.close()


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "why"),
    [
        ("videotestsrc is-live=true num-buffers=20", "pipeline ended"),
        ("videotestsrc is-live=true pattern=black", "frozen"),
        ("videotestsrc num-buffers=3 ! identity sleep-time=200000000", "no frame for"),
        ("nosuchsource", "nosuchsource"),
    ],
)
def test_a_camera_that_ends_freezes_hangs_or_is_missing_is_reported(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, pipeline: str, why: str
) -> None:
    listener = Listener(broker.port)
    limits = "frozen_s = 1\nwidth = 320\nheight = 240"
    with Door(
        tmp_path / "door", bundle_dir, f"gst:{pipeline}", broker.port, camera_more=limits
    ) as door:
        assert listener.until(lambda h: "camera-lost" in h.event_names()), door.log()
        assert why in next(e for e in listener.events if e.event == "camera-lost").detail
        assert listener.until(lambda h: any(s.camera == "lost" for s in h.states))
        assert door.running
        assert door.end() == 0
    listener.close()


def test_a_photo_that_breaks_in_the_folder_is_an_event_not_an_end(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    folder = Path(camera.removeprefix("folder:"))
    listener = Listener(broker.port)
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        assert listener.until(lambda h: bool(h.decisions)), door.log()
        os.truncate(folder / "1.png", 1000)
        assert listener.until(lambda h: "camera-lost" in h.event_names()), door.log()
        assert "cut short" in listener.events[-1].detail
        assert door.running
    listener.close()


def test_an_interrupted_daemon_leaves_what_it_had_not_sent_for_the_next(
    tmp_path: Path, bundle_dir: Path, camera: str
) -> None:
    broker = trial.Mosquitto(tmp_path / "broker")
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    with door:
        wait_for_entries(door, 10).close()
        door.end(signal.SIGKILL)
    with broker:
        listener = Listener(broker.port)
        with door:
            assert listener.until(lambda h: len(h.decisions) >= 15), door.log()
        listener.close()
    assert_in_order(listener.decisions, first=1)
