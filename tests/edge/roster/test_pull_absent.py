"""Records that the index names but the broker lacks must not delay records that it has."""

from __future__ import annotations

import math
import random

import pytest

from ostiary.edge.roster.pull import FIRST_WINDOW, INDEXES
from ostiary.edge.roster.record import shard_of
from tests.support.roster.puller import Device


def in_order(device: Device) -> list[str]:
    """As a broker is asked where nothing else counts."""
    return [subject for name in sorted(device.roster) for subject in sorted(device.roster[name])]


@pytest.mark.parametrize("head_every_s", [math.inf, 30.0])
@pytest.mark.parametrize("scattered", [False, True])
def test_absent_records_do_not_delay_the_others(scattered: bool, head_every_s: float) -> None:
    device = Device(f"s{number}" for number in range(1600))
    subjects = in_order(device)
    if scattered:
        random.Random(3).shuffle(subjects)
    device.absent = set(subjects[:1200])
    device.live(300, head_every_s)
    assert device.missing == device.absent


def test_absent_indexes_do_not_delay_the_others() -> None:
    device = Device(f"s{number}" for number in range(1500))
    device.absent = set(sorted(device.roster)[:200])
    device.live(300)
    assert device.missing == {s for name in device.absent for s in device.roster[name]}


@pytest.mark.parametrize("head_every_s", [math.inf, 10.0])
@pytest.mark.parametrize("indexes", [False, True])
def test_what_is_asked_for_again_takes_turns(indexes: bool, head_every_s: float) -> None:
    device = Device(f"s{number}" for number in range(900))
    device.absent = set(device.roster if indexes else in_order(device))
    device.live(400, head_every_s)
    last = sorted(device.absent)[-1] if indexes else in_order(device)[-1]
    device.absent.remove(last)
    device.live(600, head_every_s)
    found = set(device.roster[last]) if indexes else {last}
    assert device.missing == set(in_order(device)) - found


def test_what_never_comes_does_not_narrow_the_window() -> None:
    device = Device(f"s{number}" for number in range(600))
    last = in_order(device)[-1]
    device.absent = {last}
    device.live(600)
    assert device.missing == {last}
    device.held = {shard_of(last): device.held[shard_of(last)]}
    device.indexes = {shard_of(last): device.indexes[shard_of(last)]}
    assert len(device.next()) >= FIRST_WINDOW // 2 // INDEXES
    device.live(60)
    assert device.missing == {last}


def test_what_is_asked_for_again_leaves_room_for_what_is_new() -> None:
    device = Device(f"s{number}" for number in range(1600))
    device.absent = set(in_order(device))
    device.live(300)
    while not device.pull.under_way:
        device.now += 0.5
        device.next()
    shard = shard_of("new")
    device.roster[shard]["new"] = 1
    del device.indexes[shard]
    device.sign()
    assert shard in [want.shard for want in device.next() if not want.subjects]
