"""What tests of the device's roster share: a door of a fleet, and its operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.doors.remote_door import NOW_S, Door
from tests.support.roster.operator import Operator


@pytest.fixture
def operator() -> Operator:
    return Operator(wall=lambda: NOW_S)


@pytest.fixture
def door(tmp_path: Path, operator: Operator) -> Iterator[Door]:
    made = Door(tmp_path, operator, stale_after_s=100.0)
    yield made
    made.remote.close()
