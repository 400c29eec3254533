"""The way of a frame in README and architecture is the order in which the code takes it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.door.base import LogDoor
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.config import Config
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.faces.tracking import Tracker
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.access import Moment, Rights
from ostiary.edge.core.types import Frame
from ostiary.edge.daemon.decisions import Decisions
from ostiary.edge.daemon.loop import Daemon, DaemonParts
from ostiary.edge.daemon.publishing import Publishing
from ostiary.edge.effects.recorder import Recorder
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.vision.observer import Observer
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.search import FaceSearch
from ostiary.edge.wire import StateMessage, Topics
from tests.support.fakes import curve, curves, face_at
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text()
DIAGRAM = re.findall(
    r"```mermaid\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.S
)[1]
ALICE = np.eye(8, dtype=np.float32)[0]
FACE = face_at(10, 10)
SHARP = Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0)
FRAMES = 2

STEPS: dict[str, tuple[Any, str, Any]] = {
    "camera": (CameraReader, "next", None),
    "detect": (FaceSearch, "boxes", [(FACE.box_px, FACE.score)]),
    "track": (Tracker, "update", None),
    "landmarks": (Pipeline, "faces", [FACE]),
    "align": (Pipeline, "align", np.zeros((1, 1, 3), np.uint8)),
    "quality": (Pipeline, "quality", SHARP),
    "PAD": (Pipeline, "passive", {"pad": 3.0}),
    "embed": (Pipeline, "probe", ALICE),
    "fuse over the track": (Tracker, "add", None),
    "verify | identify": (Enrolled, "candidates", None),
    "policy": (policy, "step", None),
    "journal": (Journal, "append", None),
    "door": (LogDoor, "open", None),
    "publish": (Publishing, "pump", None),
}
"""Each step as the README names it: the function that takes it, and its answer if it is faked."""


def documented() -> list[str]:
    """The steps of the README's line, in its order."""
    way = re.search(r"`(camera -> .*?)`", README, re.S)
    assert way is not None
    return [" ".join(step.split()) for step in way[1].split("->")]


def drawn() -> dict[str, list[str]]:
    """The boxes of the architecture's diagram, in their order, with the modules in each."""
    boxes = re.findall(r'\["([\w ]+)<br>([^"]+)"\]', DIAGRAM)
    return {step.replace(" or ", " | "): modules.split(", ") for step, modules in boxes}


def daemon_of(folder: Path) -> Daemon:
    """A real daemon without a broker, before whose camera Alice stands for FRAMES frames."""
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"},
        "camera": {"url": "v4l2:/dev/video0"}, "state": {"path": "s"},
        "recognition": {"votes": FRAMES}, "pad": {"required": True, "frames": 1},
    }  # fmt: skip
    config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
    pipeline: Any = object.__new__(Pipeline)
    pipeline.curve, pipeline.close, pipeline.backend = curve, lambda: None, "none"
    pipeline.bundle = SimpleNamespace(pad=None)
    enrolled = Enrolled(8, curves(), config, lambda: Moment(1e9, 0, 720))
    enrolled.change([("alice", ALICE[None], Rights(), 1)], [])
    topics = Topics("hq", "door")
    reporter = Reporter(topics, StateMessage(status="online", session=0), lambda: 0.0)
    journal = Journal(folder / "journal.db")
    camera = CameraReader(config.camera, lambda _camera: pytest.fail("no source is opened"))
    recorder = Recorder(journal, LogDoor(), reporter, lambda: 0.0, opens_unrecorded=False)
    nothing: Any = SimpleNamespace(close=lambda: None, keep=lambda: None)
    parts = DaemonParts(
        config=config, lock=os.open(folder, os.O_RDONLY), store=nothing, journal=journal,
        pipeline=pipeline, changeover=nothing, enrolled=enrolled,
        observer=Observer(pipeline, config, enrolled), camera=camera, reporter=reporter,
        decisions=Decisions(config.rules(), recorder, "e" * 64), claims=None, remote=None,
        link=None, publishing=Publishing(None, journal, topics.decision, camera, reporter),
        upkeep=nothing,
    )  # fmt: skip
    service: Any = SimpleNamespace(**dict.fromkeys(("ready", "status"), lambda _text: None))
    service.turned = lambda: None
    shutdown: Any = SimpleNamespace(wanted=False, saved=True, left_s=lambda: 1.0)
    return Daemon(parts, service, shutdown)


def watched(step: str, real: Callable[..., Any], fake: object, taken: list[str]) -> Any:
    """A function that notes its step, then answers with the fake or by the real function."""

    def take(*given: Any, **named: Any) -> Any:
        taken.append(step)
        return real(*given, **named) if fake is None else fake

    return take


def test_the_code_takes_the_steps_in_the_readmes_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last frame of a real loop, which is granted, passes every step once and in this order."""
    taken: list[str] = []
    count = iter(range(1, FRAMES + 1))

    def next_frame(camera: CameraReader, _timeout_s: float) -> Frame:
        number = next(count)
        camera.ended = number == FRAMES
        return Frame(np.zeros((240, 320, 3), np.uint8), 100.0 + number / 10, number)

    monkeypatch.setattr(CameraReader, "start", lambda _camera: None)
    for step, (owner, name, fake) in STEPS.items():
        real = next_frame if step == "camera" else getattr(owner, name)
        monkeypatch.setattr(owner, name, watched(step, real, fake, taken))
    assert daemon_of(tmp_path).run()
    last = len(taken) - taken[::-1].index("camera") - 1
    assert taken[last:] == documented()


def test_the_diagram_has_the_readmes_steps_each_with_the_module_that_takes_it() -> None:
    assert list(drawn()) == documented() == list(STEPS)
    for step, modules in drawn().items():
        owner, name, _ = STEPS[step]
        file = inspect.getsourcefile(getattr(owner, name))
        assert file is not None
        assert str(Path(file).resolve().relative_to(ROOT)) in modules
