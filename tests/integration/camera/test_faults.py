"""Cameras that freeze, stall, go black, are unplugged and come back; the watchdog stays fed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.core.types import Image
from scripts import trial
from tests.support.doors.notified import Manager, Service
from tests.support.doors.real_daemon import Door, Listener
from tests.support.inputs.sensor import PICTURE, Sensor
from tests.support.places import write_png

pytestmark = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed: scripts/setup"
)
WATCHDOG_S = 4.0


@pytest.fixture
def sensor(portrait: Image) -> Iterator[Sensor]:
    made = Sensor(portrait)
    yield made
    made.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path)
    yield listening
    listening.close()


def of_the_camera(listener: Listener) -> list[str]:
    return [name for name in listener.event_names() if name.startswith("camera-")]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("frozen", "frozen for"),
        ("silent", "no frame for"),
        ("black", "of one colour"),
        ("unplugged", "pipeline ended"),
        ("cut short", "pipeline ended"),
    ],
)
def test_a_fault_is_an_event_and_so_is_the_return(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, sensor: Sensor, manager: Manager,
    fault: str, why: str,
) -> None:  # fmt: skip
    listener = Listener(broker.port)
    service = Service(
        tmp_path / "door", bundle_dir, sensor.url, broker.port, camera_more=PICTURE
    )  # fmt: skip
    service.manager, service.watchdog_s = manager, WATCHDOG_S
    with service:
        assert listener.until(lambda heard: len(heard.decisions) > 3), service.log()
        assert of_the_camera(listener) == []
        sensor.does(fault)
        assert listener.until(lambda heard: of_the_camera(heard) == ["camera-lost"]), service.log()
        assert why in listener.events[-1].detail
        assert manager.until(lambda heard: any("camera lost" in word for word in heard.words()))
        fed = len(manager.times("WATCHDOG=1"))
        # The last good frame may still be decided on after the loss is known.
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) >= fed + 2)
        decided = len(listener.decisions)
        assert manager.until(lambda heard: len(heard.times("WATCHDOG=1")) >= fed + 3)
        assert len(listener.decisions) == decided, "somebody was seen who is not there"
        assert of_the_camera(listener) == ["camera-lost"]
        sensor.does("well")
        assert listener.until(lambda heard: len(of_the_camera(heard)) == 2), service.log()
        assert listener.until(lambda heard: len(heard.decisions) > decided + 3), service.log()
        assert service.end() == 0
    assert of_the_camera(listener) == ["camera-lost", "camera-back"]
    fed_at = manager.times("WATCHDOG=1")
    assert max(np.diff(fed_at)) < WATCHDOG_S, "systemd would have killed it"
    listener.close()


def test_a_camera_that_is_not_there_yet_is_awaited(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, sensor: Sensor
) -> None:
    sensor.does("silent")
    listener = Listener(broker.port)
    with Door(
        tmp_path / "door", bundle_dir, sensor.url, broker.port, camera_more=PICTURE
    ) as door:  # fmt: skip
        assert listener.until(lambda heard: of_the_camera(heard) == ["camera-lost"]), door.log()
        sensor.does("well")
        assert listener.until(lambda heard: bool(heard.decisions)), door.log()
        both = ["camera-lost", "camera-back"]
        assert listener.until(lambda heard: of_the_camera(heard) == both), door.log()
    listener.close()


def test_another_size_is_an_event_and_a_face_is_known_again_by_itself(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, portrait: Image
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write_png(folder / "1.png", portrait)
    write_png(folder / "2.png", portrait[20:460])
    listener = Listener(broker.port)
    with Door(
        tmp_path / "door", bundle_dir, f"folder:{folder}", broker.port,
        camera_more="hold_frames = 10",
    ) as door:  # fmt: skip
        changed = "camera-changed"
        assert listener.until(lambda heard: of_the_camera(heard)[:2] == [changed] * 2), door.log()
        details = [event.detail for event in listener.events if event.event == changed]
        assert details[:2] == ["640x480 before, 640x440 now", "640x440 before, 640x480 now"]
        before = len(listener.decisions)
        assert listener.until(lambda heard: len(heard.decisions) > before + 30), door.log()
    # Boxes of one size mean nothing in another: it is the embedding that says who it is.
    assert len({d.track for d in listener.decisions}) == 1
    listener.close()


def test_a_pipeline_whose_camera_changes_its_size_is_an_event(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto
) -> None:
    def changed(heard: Listener) -> list[str]:
        return [event.detail for event in heard.events if event.event == "camera-changed"]

    part = "videotestsrc is-live=true pattern=ball{} ! video/x-raw,width={},height={}"
    small, large = part.format(" num-buffers=30", 320, 240), part.format("", 640, 360)
    listener = Listener(broker.port)
    camera = f"gst:{small} ! concat name=both {large} ! both. both."
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        assert listener.until(lambda heard: bool(changed(heard))), door.log()
    assert changed(listener) == ["320x240 before, 640x360 now"]
    listener.close()
