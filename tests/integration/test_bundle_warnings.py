"""A real door with a bundle that was signed although its encoder is weak: it says so, always."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.runtime import bundle as bundles
from ostiary.export.bundle import release, signing
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener

WARNINGS = ("the encoder recognises 41 % of people; signed by --sign-weak", "it is UNPROVEN")


@pytest.fixture
def weak(bundle_dir: Path, tmp_path: Path) -> Path:
    """The bundle with warnings in its manifest, signed anew."""
    folder = tmp_path / "weak"
    shutil.copytree(bundle_dir, folder)
    warned = msgspec.structs.replace(bundles.read(folder).manifest, warnings=list(WARNINGS))
    release.write_manifest(folder, warned, {})
    signing.sign_bundle(folder, signing.read_seed(signing.default_key()))
    return folder


def told(heard: Listener) -> list[str]:
    return [event.detail for event in heard.events if event.event == "bundle-warning"]


def test_a_door_says_the_warnings_of_its_bundle_at_every_start(
    tmp_path: Path, weak: Path, broker: trial.Mosquitto, camera: str
) -> None:
    listener = Listener(broker.port)
    with Door(tmp_path / "door", weak, camera, broker.port) as door:
        assert listener.until(lambda heard: len(told(heard)) == 2), door.log()
        assert listener.until(lambda heard: heard.status == "online"), door.log()
        assert listener.states[-1].warnings == WARNINGS
        assert door.end() == 0
        door.start()
        assert listener.until(lambda heard: len(told(heard)) == 4), door.log()
        assert listener.until(lambda heard: heard.status == "online"), door.log()
    assert told(listener) == [*WARNINGS, *WARNINGS]
    assert door.log().count(f"bundle-warning: {WARNINGS[0]}") == 2
    listener.close()


def test_a_door_with_a_good_bundle_warns_of_nothing(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    listener = Listener(broker.port)
    with Door(tmp_path / "door", bundle_dir, camera, broker.port) as door:
        assert listener.until(lambda heard: bool(heard.decisions)), door.log()
    assert {state.warnings for state in listener.states} == {()}
    assert told(listener) == []
    listener.close()
