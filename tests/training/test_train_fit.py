"""`ostiary-train fit`: what it refuses, what its folder holds, and an exact resume."""

from pathlib import Path

import msgspec
import onnx
import pytest
from places import ostiary, refused

from training import evaluation, log
from training.log import EpochLine, StepLine

SHORT = '[encoder]\narchitecture = "small-28"\n'
SETTINGS = SHORT + "[optimiser]\nepochs = 2\n[batches]\npeople = 3\nimages = 3\n"
SETTINGS += '[data]\nchoosing = 0.25\njudging = 0.25\n[augment]\ndomain = "door"\n'


def arguments(folder: Path, faces: Path, bundle: Path, settings: str = SETTINGS) -> list[object]:
    path = folder / "settings.toml"
    path.write_text(settings)
    return ["fit", path, "--faces", faces, "--bundle", bundle, "--out", folder / "run"]


def test_the_lists_name_what_settings_may_say() -> None:
    for command, name in (("encoders", "small-28"), ("losses", "triplet")):
        listed = ostiary(command, "--json", program="training")
        assert name in msgspec.json.decode(listed.stdout)
        assert name in ostiary(command, program="training").stdout


def test_what_is_wrong_is_told_before_any_face_is_looked_for(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    asked = arguments(tmp_path, nowhere, nowhere)
    assert "there is no run" in refused(*asked, "--resume", program="training")
    (tmp_path / "run").mkdir()
    assert "is there already (--resume goes on" in refused(*asked, program="training")
    asked = arguments(tmp_path, nowhere, nowhere, SHORT + "[optimizer]\nrate = 1\n")
    assert "unknown field `optimizer`" in refused(*asked, program="training")


def people(folder: Path, data: Path, count: int, each: int) -> Path:
    for person in sorted(p for p in data.iterdir() if p.is_dir())[:count]:
        (folder / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:each]:
            (folder / person.name / photo.name).symlink_to(photo)
    return folder


@pytest.mark.data
def test_a_run_from_photos_to_an_encoder(tmp_path: Path, orl: Path, bundle_dir: Path) -> None:
    faces = people(tmp_path / "faces", orl, 12, 5)
    asked = arguments(tmp_path, faces, bundle_dir)
    done = ostiary(*asked, program="training")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert f"ostiary-export build {run / 'encoder.toml'}" in done.stdout
    made = onnx.load(str(run / "encoder.onnx"))
    assert [made.graph.input[0].name, made.graph.output[0].name] == ["input", "embedding"]
    assert (run / "settings.toml").read_text() == SETTINGS
    lines = log.read(run)
    assert [x.epoch for x in lines if isinstance(x, EpochLine)] == [0, 1, 2]
    assert any(isinstance(x, StepLine) for x in lines)
    held = evaluation.read(run)
    assert [one.name for one in held.evaluations] == ["untrained", "best"]
    assert held.data is not None
    assert [part.people for part in held.data.parts] == [6, 3, 3]
    assert (run / "report.html").stat().st_size > 1000

    files = ("encoder.onnx", "log.jsonl", "checkpoints/last.pt")
    before = [(run / name).read_bytes() for name in files]
    again = ostiary(*asked, "--resume", "--json", program="training")
    assert msgspec.json.decode(again.stdout)["outcome"]["ended"] == "epochs"
    assert [(run / name).read_bytes() for name in files] == before
    asked = arguments(tmp_path, faces, bundle_dir, SETTINGS.replace("epochs = 2", "epochs = 3"))
    other = ostiary(*asked, "--resume", program="training")
    assert other.returncode == 2
    assert "last.pt was made with other settings" in other.stderr
    assert (run / "settings.toml").read_text() == SETTINGS
