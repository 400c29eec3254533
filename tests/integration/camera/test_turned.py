"""A camera that hangs turned: the operator is told, nobody is let in, and the profile mends it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ostiary.edge.adapters.camera.reader import upright
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.types import Image, Reason, Template
from ostiary.edge.daemon.hanging import Hanging, rotate_for
from ostiary.edge.sections import CameraSection
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.places import write_png


def turned_camera(folder: Path, portrait: Image, degrees: int) -> str:
    """Four people pass for ever before a camera whose picture is turned by `degrees`."""
    photos = trial.sample_photos()
    people = [read_photo(photos / f"{name}.jpg") for name in ("obama", "biden", "obama2")]
    folder.mkdir()
    for number, shown in enumerate([portrait, *people]):
        write_png(folder / f"{number}.png", geometry.turned(shown, degrees))
    return f"folder:{folder}"


@pytest.mark.parametrize("degrees", [90, 180])
def test_it_is_told_and_nobody_is_let_in(
    tmp_path: Path,
    bundle_dir: Path,
    broker: trial.Mosquitto,
    portrait: Image,
    eileen: Template,
    degrees: int,
) -> None:
    listener = Listener(broker.port)
    camera = turned_camera(tmp_path / "frames", portrait, degrees)
    door = Door(tmp_path / "door", bundle_dir, camera, broker.port)
    door.enroll(eileen)
    right = 360 - degrees
    with door:
        assert listener.until(lambda h: "camera-turned" in h.event_names()), door.log()
        (event,) = [e for e in listener.events if e.event == "camera-turned"]
        assert f"rotate = {right}" in event.detail
        assert listener.until(lambda h: h.states[-1].camera_turn == right)
        assert listener.states[-1].least_face_px > 0
        so_far = len(listener.decisions)
        assert listener.until(lambda h: len(h.decisions) > so_far + 2)
        assert {d.reason.value for d in listener.decisions[so_far + 1 :]} == {"degraded"}
        assert not [d for d in listener.decisions if d.outcome.value == "granted"]
        assert door.end() == 0
    mended = Door(
        tmp_path / "door", bundle_dir, camera, broker.port, camera_more=f"rotate = {right}"
    )
    with mended:
        assert listener.until(
            lambda h: any(
                d.outcome.value == "granted" and d.subject == "eileen" for d in h.decisions
            )
        ), mended.log()
    listener.close()


class Reports:
    """What would be said and decided."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.state: dict[str, object] = {}
        self.denied: list[Reason] = []
        self.now_s = 100.0

    def event(self, name: str, detail: str = "") -> None:
        self.events.append((name, detail))

    def change(self, **fields: object) -> None:
        self.state |= fields

    def deny(self, reason: Reason) -> None:
        self.denied.append(reason)


def test_it_denies_once_in_a_while_and_tells_each_change_once() -> None:
    reports: Any = Reports()
    camera: Any = SimpleNamespace(rotate=0, flip=False)
    hanging = Hanging(reports, reports, camera, cooldown_s=5.0)
    assert not hanging.bars(0, 1)
    assert (reports.events, reports.denied) == ([], [])
    assert hanging.bars(180, 1)
    assert hanging.bars(180, 1)
    assert hanging.bars(180, 0)
    assert reports.events == [("camera-turned", "set `rotate = 180` under [camera]")]
    assert reports.denied == [Reason.DEGRADED]
    reports.now_s += 5.0
    assert hanging.bars(180, 0)
    assert hanging.bars(180, 2)
    assert reports.denied == [Reason.DEGRADED] * 2
    assert reports.state == {"camera_turn": 180}
    assert not hanging.bars(0, 1)
    assert reports.events[1:] == [("camera-upright", "")]
    assert reports.state == {"camera_turn": 0}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_the_wanted_rotate_turns_the_frame_as_asked(rotate: int, flip: bool, turn: int) -> None:
    raw = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

    def hung(degrees: Any) -> Image:
        return upright(raw, CameraSection(url="x", rotate=degrees, flip=flip))

    camera = CameraSection(url="x", rotate=rotate, flip=flip)  # type: ignore[arg-type]
    wanted = geometry.turned(hung(rotate), turn)
    assert (hung(rotate_for(turn, camera)) == wanted).all()
