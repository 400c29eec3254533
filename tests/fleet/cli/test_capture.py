"""`ostiary-fleet capture`, `open` and `provision` as they are typed, with a real bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.config import load_config
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.wire import Response
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from scripts import trial
from tests.support.fleet.fake_door import FakeDoor, template_bytes
from tests.support.fleet.memory_broker import template
from tests.support.places import ROOT


@pytest.fixture
def live(fleet: Fleet, tmp_path: Path, bundle_dir: Path) -> Iterator[Fleet]:
    with trial.Mosquitto(tmp_path / "broker", lasting=False) as broker:
        path = fleet.folder / SETTINGS
        text = path.read_text().replace('bundle = "bundle"', f'bundle = "{bundle_dir}"')
        path.write_text(f"{text}port = {broker.port}\n")
        with Fleet.open(fleet.folder) as opened:
            yield opened


def cli(live: Fleet, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostiary.fleet", *words, "--fleet", str(live.folder)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_who_stands_at_the_door_is_enrolled_guarded_and_published(
    live: Fleet, bundle: Bundle
) -> None:
    raw = template_bytes(template(1, bundle.dim))
    answer = Response(nonce="", ok=True, encoder=bundle.encoder_id, template=raw, photos=4)
    north = FakeDoor(live, "north", answer).listen()
    try:
        words = ["--name", "Alice Adams", "--groups", "staff", "--learns", "--json"]
        done = cli(live, "capture", "north", "alice", *words)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["published"], said["photos"]) == (True, 4)
        person = live.registry().people.get("alice")
        assert person is not None
        assert (person.name, person.groups) == ("Alice Adams", ("staff",))
        record = live.registry().roster.record("alice")
        assert (record.photos, record.learns) == ({bundle.encoder_id: 4}, True)
        assert np.allclose(
            np.frombuffer(record.templates[bundle.encoder_id], "<f4"),
            np.frombuffer(raw, "<f4"),
            atol=1e-6,
        )
        assert live.registry().roster.published == live.registry().roster.sequence == 1
        told = cli(live, "capture", "north", "alice", "--no-publish")
        assert told.stdout == "enrolled alice at north from 4 frames\n"
        assert "one photo" not in told.stderr
        again = cli(live, "capture", "north", "mallory")
        assert again.returncode == 2
        assert "enrolled as alice" in again.stderr
        assert live.registry().people.get("mallory") is None
        assert "unknown group" in cli(live, "capture", "north", "eve", "--groups", "x").stderr
        assert len(north.heard) == 3
        north.answer = Response(nonce="", ok=False, reason="no-face")
        refused = cli(live, "capture", "north", "bob")
        assert refused.returncode == 2
        assert "no-face" in refused.stderr
        assert "look into the camera" in refused.stderr
        north.answer = Response(nonce="", ok=True)
        assert "north opened its door" in cli(live, "open", "north").stdout
    finally:
        north.close()


def test_a_device_is_provisioned_once(live: Fleet, tmp_path: Path) -> None:
    out = tmp_path / "north"
    words = ["provision", "north", "--board", "x86-cpu", "--out", str(out), "--group", "staff"]
    done = cli(live, *words)
    assert done.returncode == 0, done.stderr
    assert load_config(out / "door.toml").device.id == "north"
    assert (out / "keys" / "bundle.pub").exists()
    again = cli(live, *words)
    assert again.returncode == 2
    assert "not overwritten" in again.stderr
    assert "give a --board" in cli(live, "provision", "south").stderr
    assert "not a subject id" in cli(live, "provision", "South!", "--board", "x86-cpu").stderr
    assert live.registry().devices.provisioned() == ["north"]
    assert cli(live, "unprovision", "north").returncode == 0
    assert live.registry().devices.provisioned() == []
