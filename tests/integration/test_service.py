"""The daemon as systemd sees it: ready when proven, fed by its loop, alone in its name."""

import io
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.daemon.shutdown import HUNG, children
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.bundle import GOLDEN, MANIFEST, sha256
from ostiary.edge.runtime.signature import SIGNATURE
from scripts import trial
from tests.support.doors.notified import Blocked, Manager, Service, ends, held_up, ready
from tests.support.doors.real_daemon import eventually
from tests.support.places import ROOT

SEED = bytes(range(32))


def test_ready_is_said_after_the_models_are_proven_and_not_before(
    tmp_path: Path, service: Service, manager: Manager
) -> None:
    blocked = held_up(tmp_path, service)
    assert manager.words() == ["STATUS=loading and checking the models"]
    blocked.go_on()
    assert ready(manager), service.log()
    status = next(text for _, text in manager.heard if "READY=1" in text).split("\n")[1]
    assert re.search(r"STATUS=identify on openvino \(int8\), K 0", str(status))
    assert manager.until(lambda heard: any("camera ok" in word for word in heard.words()))
    assert ends(service) == 0


def test_with_wrong_golden_vectors_it_is_never_ready(
    tmp_path: Path, bundle_dir: Path, camera: str, broker: trial.Mosquitto, manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    wrong = tmp_path / "wrong"
    shutil.copytree(bundle_dir, wrong)
    _spoil(wrong)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "test.pub").write_text(signature.sign(b"", SEED)[4:68])
    monkeypatch.setenv("OSTIARY_KEYS", str(tmp_path / "keys"))
    service = Service(tmp_path / "door", wrong, camera, broker.port)
    service.manager = manager
    service.start()
    assert service.wait() == 2
    assert "off its golden vectors" in service.log()
    assert manager.words() == ["STATUS=loading and checking the models"]


def _spoil(bundle: Path) -> None:
    """Golden vectors of another encoder, in a bundle that is signed all the same."""
    arrays = dict(np.load(bundle / GOLDEN))
    arrays["encoder.outputs"] = -arrays["encoder.outputs"]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (bundle / GOLDEN).write_bytes(buffer.getvalue())
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes())
    manifest["files"][GOLDEN] = sha256(buffer.getvalue())
    raw = msgspec.json.encode(manifest)
    (bundle / MANIFEST).write_bytes(raw)
    (bundle / SIGNATURE).write_text(signature.sign(raw, SEED))


def test_the_watchdog_is_fed_at_half_of_its_time(service: Service, manager: Manager) -> None:
    service.watchdog_s = 2.0
    with service:
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) >= 5), service.log()
        times = manager.times("WATCHDOG=1")
        assert times[0] > manager.times("READY=1")[0]
        gaps = np.diff(times)
        assert np.mean(gaps) > 0.49 * service.watchdog_s
        # A busy machine is later than half. Who feeds only when the time is over is never sooner.
        assert max(gaps) < service.watchdog_s, "systemd would have killed it"
        assert ends(service) == 0


def test_a_loop_that_hangs_feeds_no_watchdog_and_still_ends_in_time(
    tmp_path: Path, service: Service, manager: Manager
) -> None:
    blocked = Blocked(tmp_path / "entry", "observer.Observer", "observe")
    service.entry, service.watchdog_s = (str(blocked.script),), 0.4
    with service:
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) >= 3), service.log()
        blocked.hang()
        assert blocked.reached()
        # One may have been on its way when the loop began to hang.
        fed = len(manager.times("WATCHDOG=1")) + 1
        assert not manager.until(lambda heard: len(heard.times("WATCHDOG=1")) > fed, 2.0)
        blocked.go_on()
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) > fed), service.log()
        blocked.hang()
        assert blocked.reached()
        assert ends(service) == HUNG
        assert "in step" in service.log(), "it does not say where it hangs"


def test_no_child_inherits_what_speaks_to_systemd(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, manager: Manager
) -> None:
    url = "gst:videotestsrc is-live=true"
    service = Service(tmp_path / "door", bundle_dir, url, broker.port)
    service.manager = manager
    with service:
        assert ready(manager), service.log()
        assert eventually(lambda: any(runs(child, "gst-launch") for child in children(service.pid)))
        (pipeline,) = children(service.pid)
        inherited = Path(f"/proc/{pipeline}/environ").read_text()
        assert "PATH=" in inherited
        assert "NOTIFY_SOCKET" not in inherited
        assert "WATCHDOG" not in inherited
        assert ends(service) == 0


def runs(pid: int, program: str) -> bool:
    return program in Path(f"/proc/{pid}/cmdline").read_text()


BROKEN = """
import sys
sys.path.insert(0, {root!r})
from ostiary.edge.daemon import faults
from ostiary.edge.vision import observer
from ostiary.edge.__main__ import main

def fail(*_):
    raise RuntimeError("an illegal memory access was encountered")

faults.GIVE_UP_S = 0.5
observer.Observer.observe = fail
main()
"""


def test_models_that_fail_at_every_frame_end_the_service_that_it_may_start_anew(
    tmp_path: Path, service: Service, manager: Manager
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(root=str(ROOT)))
    service.entry = (str(script),)
    service.start()
    assert service.wait() == 2, service.log()
    assert ready(manager)
    assert "every frame has failed" in service.log()
    assert service.log().count("Traceback") == 1
    journal = service.journal()
    assert any(b'"reason":"degraded"' in entry.payload for entry in journal.entries())
    journal.close()
