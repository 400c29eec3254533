"""Any interleaving, loss, repetition, replay and restart ends in the registry's state."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.roster.history import OP, World

HISTORIES = {
    "program": st.binary(min_size=20 * OP, max_size=90 * OP),
    "devices": st.integers(1, 3),
    "ending": st.integers(0, 255),
}


def live_through(program: bytes, devices: int, ending: int) -> None:
    world = World(devices)
    world.run(program)
    world.finish(ending)


def once(count: int) -> settings:
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@once(800)
@given(**HISTORIES)
def test_every_history_ends_in_the_registrys_state(
    program: bytes, devices: int, ending: int
) -> None:
    live_through(program, devices, ending)


@pytest.mark.long
@once(12_000)
@given(**HISTORIES)
def test_twelve_thousand_histories_end_in_the_registrys_state(
    program: bytes, devices: int, ending: int
) -> None:
    live_through(program, devices, ending)
