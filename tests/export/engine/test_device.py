"""The engine commands on a fake device: real processes, each with a fake TensorRT."""

import json
import os
import re
from pathlib import Path

import pytest

from ostiary.edge.runtime import engines
from tests.support.places import ROOT, ostiary, ostiary_export, refused
from tests.support.tensorrt import fake_trt

pytestmark = pytest.mark.long

PROFILE = """
[device]
site = "test"
id = "door"
[bundle]
path = "{bundle}"
backend = "{backend}"
[camera]
url = "folder:{photos}"
[state]
path = "state"
"""
PORTRAIT = ROOT / "export" / "assets" / "portrait.jpg"


@pytest.fixture
def profile(bundle_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "door.toml"
    path.write_text(PROFILE.format(bundle=bundle_dir, backend="auto", photos=PORTRAIT.parent))
    return path


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every process started from here finds TensorRT 10.3 and an Orin."""
    site = tmp_path / "site"
    site.mkdir()
    there = [str(fake_trt.child_site(site, "10.3")), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, there)))
    return site


def test_a_device_builds_proves_and_runs_its_engines(profile: Path, orin: Path) -> None:
    needed = ostiary_export("engine", "--config", profile, "--needed")
    assert needed.returncode == 0, needed.stderr
    made = ostiary_export("engine", "--config", profile, "--json")
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["place"] == {
        "tensorrt": "tensorrt 10.3.0", "driver": "12.6", "sm": "sm_87", "device": "Orin",
    }  # fmt: skip
    for row in found["models"]:
        assert row["did"] == "built"
        assert row["header"]["proof"]["worst"] <= row["header"]["proof"]["tolerance"]
    again = ostiary_export("engine", "--config", profile, "--needed")
    assert (again.returncode, again.stdout) == (
        3,
        "nothing to build: every engine is up to date, or its build failed before\n",
    )
    shown = ostiary_export("engine", "--config", profile, "--target", "jetson-orin-nx")
    assert "up to date" in shown.stderr
    assert re.search(r"\d\d int8", shown.stdout)
    thor = ("engine", "--config", profile, "--target", "jetson-agx-thor")
    assert "Orin, sm_87" in refused(*thor, program="export")
    said = ostiary("enroll", "--config", profile, "a", PORTRAIT)
    assert said.returncode == 0, said.stderr
    again = ostiary("identify", "--config", profile, "--json", PORTRAIT)
    assert again.returncode == 0, again.stderr


def test_the_report_says_that_the_process_died(profile: Path, orin: Path, tmp_path: Path) -> None:
    site = orin / "sitecustomize.py"
    site.write_text(
        site.read_text()
        + "import os\n"
        + "from ostiary.export.engine import builder\n"
        + "builder.build = lambda *_: os.abort()\n"
    )
    made = ostiary_export("engine", "--config", profile, "--json")
    assert made.returncode == 1
    for row in json.loads(made.stdout)["models"]:
        assert row["did"] == "failed"
        assert "process died with SIGABRT" in row["failed"][0]
    report = engines.read_report(tmp_path / "state" / "engines")
    assert all(entry.file is None for entry in report.entries)
    # A crash may not repeat: the build is tried once more, but not at every start of the door.
    needed = ostiary_export("engine", "--config", profile, "--needed")
    assert needed.returncode == 0
    assert ostiary_export("engine", "--config", profile).returncode == 1
    assert ostiary_export("engine", "--config", profile, "--needed").returncode == 3


def test_a_profile_of_the_cpu_needs_no_engine(profile: Path) -> None:
    needed = ostiary_export("engine", "--config", profile, "--needed", "--json")
    assert needed.returncode == 3
    assert "tensorrt cannot be loaded" in json.loads(needed.stdout)["why"]
    profile.write_text(profile.read_text().replace('"auto"', '"openvino"'))
    needed = ostiary_export("engine", "--config", profile, "--needed")
    told = "nothing to build: the profile's backend is openvino\n"
    assert (needed.returncode, needed.stdout) == (3, told)
    profile.write_text(profile.read_text().replace('"openvino"', '"tensorrt"'))
    assert ostiary_export("engine", "--config", profile, "--needed").returncode == 0
    assert "tensorrt cannot be loaded" in refused("engine", "--config", profile, program="export")
