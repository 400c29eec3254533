"""Which rules of PAD a door takes: the profile's file, the bundle's, or the profile's limits."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ostiary.edge.__main__ import app
from ostiary.edge.config import load_config
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.heads import pad_file
from ostiary.edge.runtime.manifest import Manifest
from ostiary.edge.vision.liveness import pad_rules, read_pad_file
from tests.edge.presentations.made_up import pad_for
from tests.support import tiny_bundle

PROFILE = """
[device]
site = "hq"
id = "door"
[bundle]
path = "b"
[camera]
url = "v4l2:/dev/video0"
[state]
path = "state"
[pad]
required = true
frames = 7
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a bundle, `b`, and a profile, `door.toml`."""
    tiny_bundle.make(tmp_path / "b")
    (tmp_path / "door.toml").write_text(PROFILE)
    return tmp_path


def with_own(place: Path) -> None:
    """The bundle has rules of its own, of other people than the site's."""
    own = pad_file.parse(pad_for(place / "b", place / "b" / "pad.json").read_bytes(), "own")
    own = msgspec.structs.replace(own, pairs=9)
    (place / "b" / "pad.json").write_bytes(pad_file.to_text(own))
    manifest = msgspec.json.decode((place / "b" / MANIFEST).read_bytes(), type=Manifest)
    names = [*manifest.files, "pad.json"]
    tiny_bundle.write_manifest(place / "b", {n: (place / "b" / n).read_bytes() for n in names})


def test_without_a_file_the_profiles_own_limits_hold(place: Path) -> None:
    rules = pad_rules(bundles.read(place / "b"), load_config(place / "door.toml"))
    assert (rules.frames, rules.motion) == (7, None)


def test_a_bundles_own_rules_are_read(place: Path) -> None:
    with_own(place)
    rules = pad_rules(bundles.read(place / "b"), load_config(place / "door.toml"))
    assert (rules.frames, rules.pairs) == (3, 9)
    assert rules.motion is not None


def test_the_sites_file_comes_before_the_bundles(place: Path) -> None:
    """Its path starts at the profile's folder."""
    with_own(place)
    pad_for(place / "b", place / "site.json")
    (place / "door.toml").write_text(PROFILE + 'file = "site.json"\n')
    config = load_config(place / "door.toml")
    assert pad_rules(bundles.read(place / "b"), config).pairs == 2
    (place / "door.toml").write_text(PROFILE + 'file = "site.json"\nmotion = false\n')
    config = load_config(place / "door.toml")
    assert pad_rules(bundles.read(place / "b"), config).motion is None


def test_a_file_that_does_not_fit_is_named(place: Path) -> None:
    bundle = bundles.read(place / "b")
    other = pad_for(tiny_bundle.make(place / "other", 1), place / "site.json")
    with pytest.raises(BundleError, match=r"site\.json: .*fitted with another model"):
        read_pad_file(other, bundle)
    with pytest.raises(BundleError, match=r"cannot read .*gone\.json"):
        read_pad_file(place / "gone.json", bundle)
    (place / "bad.json").write_text('{"schema": 1}')
    with pytest.raises(BundleError, match=r"bad\.json: .*missing required field"):
        read_pad_file(place / "bad.json", bundle)


def test_check_config_says_that_a_file_does_not_fit(place: Path) -> None:
    """Without the bundle on this machine nothing can be said."""
    pad_for(tiny_bundle.make(place / "other", 1), place / "site.json")
    profile = place / "door.toml"
    profile.write_text(PROFILE + 'file = "site.json"\n')
    done = CliRunner().invoke(app, ["check-config", str(profile)], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "fitted with another model" in done.output
    shutil.rmtree(place / "b")
    assert CliRunner().invoke(app, ["check-config", str(profile)]).exit_code == 0
