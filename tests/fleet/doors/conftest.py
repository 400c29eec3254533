"""What tests of the fleet's doors share: a fleet with a broker, and devices that answer on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary.edge.wire import Response
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from scripts import trial
from tests.support.fleet.fake_door import FakeDoor


@pytest.fixture
def live(fleet: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """The fleet with a broker of its own, also in its fleet.toml."""
    with trial.Mosquitto(tmp_path / "broker", lasting=False) as broker:
        path = fleet.folder / SETTINGS
        path.write_text(f"{path.read_text()}port = {broker.port}\n")
        with Fleet.open(fleet.folder) as opened:
            yield opened


@pytest.fixture
def door(live: Fleet) -> Iterator[Callable[..., FakeDoor]]:
    made: list[FakeDoor] = []

    def make(name: str, answer: Response | None = None) -> FakeDoor:
        made.append(FakeDoor(live, name, answer))
        return made[-1]

    yield make
    for one in made:
        one.close()
