"""`ostiary check-config` says from how many pixels a face is found in the camera's picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ostiary.edge.__main__ import app

PROFILE = """
[device]
site = "hq"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "v4l2:/dev/video0"
width = {width}
height = {height}
rotate = {rotate}
[state]
path = "state"
"""


def check(folder: Path, bundle: Path, size: tuple[int, int], *more: str, rotate: int = 0) -> Result:
    profile = folder / "door.toml"
    width, height = size
    profile.write_text(PROFILE.format(bundle=bundle, width=width, height=height, rotate=rotate))
    return CliRunner().invoke(app, ["check-config", str(profile), *more], env={"COLUMNS": "300"})


@pytest.mark.parametrize(
    ("size", "least"), [((640, 480), 13), ((1920, 1080), 16), ((2560, 1440), 16)]
)
def test_a_picture_in_which_what_is_asked_for_is_found(
    bundle_dir: Path, tmp_path: Path, size: tuple[int, int], least: int
) -> None:
    said = check(tmp_path, bundle_dir, size).stdout
    assert f"faces from {least} px between the eyes at {size[0]}x{size[1]}" in said


def test_a_picture_too_large_for_it_is_a_warning(bundle_dir: Path, tmp_path: Path) -> None:
    done = check(tmp_path, bundle_dir, (3840, 2160))
    assert done.exit_code == 0
    assert "warning: faces of 16 px between the eyes are asked for, and found from" in done.output
    (told,) = json.loads(check(tmp_path, bundle_dir, (3840, 2160), "--json").stdout).values()
    assert told.startswith("ok; warning: faces of 16 px")


def test_a_camera_on_its_side_is_judged_as_its_picture_is_turned(
    bundle_dir: Path, tmp_path: Path
) -> None:
    """A panorama on its side needs other tiles than one that lies."""
    lying = check(tmp_path, bundle_dir, (4300, 1500), rotate=0).output
    upright = check(tmp_path, bundle_dir, (1500, 4300), rotate=90).output
    assert lying.partition("found from")[2] == upright.partition("found from")[2] != ""


def test_without_the_bundle_nothing_is_said_of_it(tmp_path: Path) -> None:
    done = check(tmp_path, tmp_path / "none", (3840, 2160))
    assert (done.exit_code, "px" in done.output) == (0, False)
