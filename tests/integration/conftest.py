"""A broker for each test, and a camera folder with the portrait."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Image, Template
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from scripts import trial
from tests.support.doors.notified import Manager, Service
from tests.support.places import write_png


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[trial.Mosquitto]:
    with trial.Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def camera(tmp_path: Path, portrait: Image) -> str:
    """A camera that sees one person, for ever."""
    folder = tmp_path / "frames"
    folder.mkdir()
    write_png(folder / "1.png", portrait)
    return f"folder:{folder}"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """What stands for systemd."""
    listening = Manager(tmp_path)
    yield listening
    listening.close()


@pytest.fixture
def service(
    tmp_path: Path, bundle_dir: Path, camera: str, broker: trial.Mosquitto, manager: Manager
) -> Iterator[Service]:
    """The daemon as a service, not yet started."""
    made = Service(tmp_path / "door", bundle_dir, camera, broker.port)
    made.manager = manager
    yield made
    if made.running:
        made.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def eileen(pipeline: Pipeline, portrait: Image) -> Template:
    """The template of the person before that camera."""
    return enroll(pipeline, "eileen", [("portrait", portrait)], Limits())
