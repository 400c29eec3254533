"""The self-test's judgement of clock, camera, state and disk, verdict by verdict."""

import fcntl
import itertools
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.state_dir import JOURNAL, LOCK, STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Frame, Image, Template
from ostiary.edge.errors import CameraError, ConfigError
from ostiary.edge.sections import CameraSection, MqttSection, RosterSection
from ostiary.edge.selftest import camera, clock, disk, report, roster, state
from ostiary.edge.selftest.clock import Discipline
from ostiary.edge.selftest.door import DoorUnderTest, secrets
from ostiary.edge.selftest.report import CheckVerdict
from tests.support.doors.under_test import door_on
from tests.support.fakes import FakeSource, image, unit

OK, WARN, FAIL, SKIPPED = CheckVerdict
NOW_S = 1_795_000_000.0


@pytest.mark.parametrize(
    ("found", "now", "verdict"),
    [
        (Discipline(True, 0.1, 12.0), NOW_S, OK),
        (Discipline(False), NOW_S, WARN),
        (Discipline(None), NOW_S, SKIPPED),
        (Discipline(True), 0.0, FAIL),
        (Discipline(True), 2 * NOW_S + 2e9, FAIL),
    ],
)
def test_the_clock(found: Discipline, now: float, verdict: CheckVerdict) -> None:
    assert clock.check(lambda: found, lambda: now).verdict is verdict


def test_the_kernel_or_systemd_is_asked_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.discipline(lambda command: None)
    assert real.synchronised in (True, False)
    assert real.most_error_ms is not None
    assert abs(real.offset_ms or 0) < 1000

    class Forbidden:
        def __init__(self, *_: object, **__: object) -> None: ...
        def adjtimex(self, _: object) -> int:
            return -1

    monkeypatch.setattr("ctypes.CDLL", Forbidden)
    assert clock.discipline(lambda command: "yes\n") == Discipline(True)
    assert clock.discipline(lambda command: None) == Discipline(None)


SEEN = {"fps": 15.0, "width": 64, "height": 64, "stall_s": 5.0}


def seen_by(
    script: list[Any], seconds: float = 30.0, live: bool = True, **settings: Any
) -> report.Check:
    """What is said of a camera that gives this script and then fails; time goes by its frames."""
    given = CameraSection(url="v4l2:x", **(SEEN | settings))
    ticks = itertools.count(0.0, 0.1)
    source = FakeSource([*script, *([] if not live else [CameraError("it is gone")] * 3)], live)
    reader = CameraReader(given, lambda _: source)

    def find(shown: Image) -> tuple[str, ...] | None:
        return None if shown.mean() < 30 else () if shown.mean() > 100 else ("too-dark", "turned")

    seen = camera.watch(reader, seconds, find, lambda: next(ticks))
    return camera.judge(given, seen, live, "")


def pictures(*values: int, size: int = 64) -> list[Any]:
    """Pictures with a little noise, since equal ones are a frozen camera's."""
    made = [image(value, size, size) for value in values]
    for number, picture in enumerate(made):
        picture[::3, ::5] = (number * 37) % 200
    return made


def test_a_camera_is_counted_and_judged() -> None:
    # Slow enough that a busy machine takes the first frame before the next one replaces it.
    found = seen_by(pictures(*[200] * 30), live=False, fps=40.0)
    assert found.verdict is OK
    assert found.details["recording_ended"]
    assert found.details["sizes"] == {"64x64": found.details["frames"]}
    assert found.details["frames"] + found.details["dropped"] == 30
    assert found.details["fps"] == pytest.approx(40, rel=0.5)
    assert found.details["share_with_face"] == 1.0
    assert 100 < found.details["brightness"] < 200
    dark = seen_by(pictures(*[3] * 10), live=False, fps=40.0)
    assert dark.details["share_with_face"] == 0.0


def test_faces_that_are_too_dark_are_a_problem_with_a_way_out() -> None:
    found = seen_by(pictures(*[40] * 30), live=False, fps=40.0)
    assert found.verdict is WARN
    assert "faces are too-dark" in found.finding
    assert "turned" not in found.finding
    assert "[camera] controls" in found.hint
    assert found.details["unfit_faces"]["too-dark"] == found.details["looked_for_faces_in"]


def test_a_camera_of_another_size_that_goes_away_is_a_warning() -> None:
    found = seen_by(pictures(200, 201, 202, size=96), seconds=1.0)
    assert found.verdict is WARN
    assert "64x64 was asked for" in found.finding
    assert "it is gone" in found.finding


def test_a_camera_that_gives_nothing_is_a_failure() -> None:
    found = seen_by([CameraError("cannot open /dev/video9")], seconds=0.5)
    assert found.verdict is FAIL
    assert found.finding == "cannot open /dev/video9"
    assert found.details["frames"] == 0


def test_a_sources_address_stays_here() -> None:
    csi = "gst:nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=64 ! nvvidconv"
    assert camera.source_of(csi) == "gst: nvarguscamerasrc ! video/x-raw(memory:NVMM) ! nvvidconv"
    assert camera.source_of("rtsp://me:secret@10.0.0.9/stream") == "rtsp"
    assert camera.source_of("clip.mp4") == "file"
    url = 'gst:rtspsrc location="rtsp://10.0.0.9/a b" user-id=me user-pw=secret ! rtph264depay'
    hidden = list(secrets(door_on(Path(), url=url)))
    said = report.warn("camera", "rtsp://10.0.0.9/a b refused me with secret", "at http://a:b@c/")
    shown = report.without(said, [*hidden])
    assert shown.finding == "(left out) refused (left out) with (left out)"
    assert shown.hint == "at http://c/"


def test_the_brokers_host_stays_here_unless_it_is_this_machine() -> None:
    given = door_on(Path()).profile
    assert given is not None
    for host, hidden in (("broker.example", True), ("127.0.0.1", False)):
        profile = msgspec.structs.replace(given, mqtt=MqttSection(host=host))
        assert (host in secrets(DoorUnderTest(profile, profile.bundle, 1.0))) is hidden


def test_frames_that_were_too_old_are_counted_as_dropped() -> None:
    seen = camera.CameraReading()
    for index, at_s in ((3, 1.0), (4, 1.1), (8, 1.5)):
        seen.take(Frame(image(0), at_s, index))
    assert (seen.taken, seen.dropped()) == (3, 3)
    assert seen.fps() == pytest.approx(10.0)


def test_a_daemons_camera_and_state_are_left_alone(tmp_path: Path) -> None:
    door = door_on(tmp_path)
    with (tmp_path / LOCK).open("w") as lock:
        assert not state.daemon_runs(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert state.daemon_runs(tmp_path)
        assert camera.check(door).verdict is SKIPPED
        found = state.check(door)
        assert (found.verdict, found.details) == (OK, {"daemon": True})
    assert not state.daemon_runs(tmp_path)


@pytest.fixture
def lived_in(tmp_path: Path) -> Path:
    """The state of a door where one person is enrolled and three decisions were made."""
    store = Store(tmp_path / STORE)
    store.put(Template("alice", "e" * 64, unit(range(1, 9))), 0.0)
    store.close()
    journal = Journal(tmp_path / JOURNAL)
    for _ in range(3):
        journal.append(0.0, lambda seq: b"{}")
    journal.close()
    return tmp_path


def test_the_state_is_read_and_not_touched(lived_in: Path) -> None:
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in lived_in.iterdir()}
    found = state.check(door_on(lived_in))
    assert found.verdict is OK
    assert found.finding == "1 subjects, 3 decisions, none altered"
    assert found.details["journal"]["pending"] == 3
    after = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in lived_in.iterdir()}
    assert after == before
    assert "alice" not in str(found)


def _alter(folder: Path) -> None:
    with sqlite3.connect(folder / JOURNAL) as database:
        database.execute("UPDATE decision SET payload = x'00' WHERE seq = 2")


def _newer(folder: Path) -> None:
    with sqlite3.connect(folder / STORE) as database:
        database.execute("PRAGMA user_version = 99")


def _overwrite(folder: Path) -> None:
    (folder / STORE).write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("change", "part"),
    [(_alter, "decision 2 does not follow"), (_newer, "newer version"), (_overwrite, "not a data")],
)
def test_a_state_that_was_changed_is_a_failure(
    lived_in: Path, change: Callable[[Path], None], part: str
) -> None:
    change(lived_in)
    found = state.check(door_on(lived_in))
    assert found.verdict is FAIL
    assert part in found.finding


def test_what_was_written_but_not_yet_moved_into_the_file_counts(lived_in: Path) -> None:
    journal = Journal(lived_in / JOURNAL)
    journal.append(0.0, lambda seq: b"{}")
    assert (lived_in / f"{JOURNAL}-wal").stat().st_size
    assert state.check(door_on(lived_in)).details["journal"]["decisions"] == 4
    journal.close()


def test_the_disk(tmp_path: Path) -> None:
    found = disk.check(door_on(tmp_path / "not" / "yet"))
    assert found.verdict in (OK, WARN)
    assert found.details["state_directory"] == "not made yet"
    assert found.details["fsync_ms"]["p99"] >= found.details["fsync_ms"]["p50"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode().strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def test_a_disk_in_memory_that_is_nearly_full_full_or_read_only(
    mounted: Callable[[str], Path],
) -> None:
    folder = mounted("size=1m")
    found = disk.check(door_on(folder))
    assert (found.verdict, found.details["file_system"]) == (WARN, "tmpfs")
    assert "loses all data" in found.finding
    assert "nearly full" in found.finding
    with pytest.raises(OSError, match="space"), (folder / "filler").open("wb", 0) as filler:
        while True:
            filler.write(bytes(4096))
    full = disk.check(door_on(folder))
    assert (full.verdict, full.finding) == (FAIL, "cannot write: No space left on device")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    sealed = disk.check(door_on(folder))
    assert (sealed.verdict, sealed.details["read_only"]) == (FAIL, True)


def test_the_deepest_and_latest_mount_is_the_folders(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts = f"v {point} xfs rw 0 0\nu {point} overlay ro,x 0 0\n/dev/x / ext4 rw 0 0\n"
    assert disk.file_system(tmp_path / "a b", mounts) == ("overlay", ["ro", "x"])
    assert disk.file_system(tmp_path, mounts) == ("ext4", ["rw"])


def test_a_roster_needs_the_sites_key_and_an_operator(tmp_path: Path) -> None:
    alone = door_on(tmp_path)
    assert roster.check(alone).verdict is SKIPPED
    assert alone.profile is not None
    key, operators = tmp_path / "site-key", tmp_path / "operators"
    profile = msgspec.structs.replace(
        alone.profile, roster=RosterSection(operators=operators, site_key=key)
    )
    door = DoorUnderTest(profile, profile.bundle, 0.2)
    key.write_text("")
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no secret key"):
        roster.check(door)
    key.write_text("ab" * 32)
    with pytest.raises(ConfigError, match="no operator's key"):
        roster.check(door)
    operators.mkdir()
    (operators / "one.pub").write_text("cd" * 32)
    assert roster.check(door).details == {"operators": ["cd" * 8]}
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="users other than its owner"):
        roster.check(door)
