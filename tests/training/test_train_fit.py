"""`ostiary-train fit`: what it refuses, what its folder holds, and an exact resume."""

import os
from pathlib import Path

import lesson
import msgspec
import onnx
import pytest
from places import ostiary, refused
from typer.testing import CliRunner

from edge.errors import ConfigError
from training import evaluation, learn, log
from training.__main__ import app
from training.cli import fit
from training.log import EpochLine, StepLine
from training.settings import Settings, Start
from training.spread import ALONE, Team

SHORT = '[encoder]\narchitecture = "small-28"\n'
SETTINGS = SHORT + "[optimiser]\nepochs = 2\n[batches]\npeople = 3\nimages = 3\n"
SETTINGS += '[data]\nchoosing = 0.25\njudging = 0.25\n[augment]\ndomain = "door"\n'


def arguments(folder: Path, faces: Path, bundle: Path, settings: str = SETTINGS) -> list[object]:
    path = folder / "settings.toml"
    path.write_text(settings)
    return ["fit", path, "--faces", faces, "--bundle", bundle, "--out", folder / "run"]


def test_the_lists_name_what_settings_may_say() -> None:
    runner = CliRunner()
    for command, name in (("encoders", "small-28"), ("losses", "triplet")):
        assert name in runner.invoke(app, [command]).stdout
    listed = ostiary("losses", "--json", program="training")
    assert "triplet" in msgspec.json.decode(listed.stdout)


def test_what_is_wrong_is_told_before_any_face_is_looked_for(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    asked = arguments(tmp_path, nowhere, nowhere, SHORT + "[optimizer]\nrate = 1\n")
    assert "unknown field `optimizer`" in refused(*asked, program="training")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[loss]\nname = 'nope'\n", "no loss 'nope'"),
        ("[loss]\nalpha = 9\n", "loss triplet: alpha 9"),
        ("[augment]\ndomain = 'fog'\n", "no domain 'fog'"),
        ("", "nothing can be written in .*file"),
    ],
)
def test_so_is_what_only_a_run_would_ask_for(tmp_path: Path, more: str, problem: str) -> None:
    path, nowhere = tmp_path / "settings.toml", tmp_path / "nowhere"
    path.write_text(SHORT + more)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=problem):
        fit.fit(path, nowhere, nowhere, tmp_path / "file" / "run")


def test_a_folder_left_by_a_refusal_is_no_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with fit.held(run, b"seed = 1\n", ALONE):
        pass
    assert [path.name for path in run.iterdir()] == ["settings.toml"]
    fit.refuse(run, resume=False)
    with pytest.raises(ConfigError, match="there is no run"):
        fit.refuse(tmp_path / "nowhere", resume=True)
    (run / "log.jsonl").touch()
    with pytest.raises(ConfigError, match="is there already") as caught:
        fit.refuse(run, resume=False)
    assert caught.value.hint.startswith("--resume goes on")


def test_a_folder_that_tensorboard_can_not_write_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not UTF-8"):
        fit.refuse(tmp_path / os.fsdecode(b"caf\xe9"), resume=False)
    fit.refuse(tmp_path / "café", resume=False)


def test_settings_are_read_once() -> None:
    """A pipe can not be read again, and a file may be another by then."""
    reading, writing = os.pipe()
    os.write(writing, SHORT.encode())
    os.close(writing)
    chosen, raw, encoder = fit._begun(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert (chosen.encoder.architecture, raw, encoder.dim) == ("small-28", SHORT.encode(), 128)


def test_batch_norm_goes_on_with_as_many_processes_only() -> None:
    faces = lesson.people(4, 2, 1)
    for name, held in (("small-28", False), ("facenet-128", True)):
        start = Start(architecture=name)
        made = [
            learn.made_with(
                Settings(encoder=start),
                learn.encoder_of(start, 0),
                learn.Parts(faces, faces, faces),
                Team(0, size),
            )
            for size in (1, 2)
        ]
        assert (made[0] != made[1]) == held
        made[0].pop("processes", None), made[1].pop("processes", None)
        assert made[0] == made[1]


def people(folder: Path, data: Path, count: int, each: int) -> Path:
    for person in sorted(p for p in data.iterdir() if p.is_dir())[:count]:
        (folder / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:each]:
            (folder / person.name / photo.name).symlink_to(photo)
    return folder


@pytest.mark.long
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
    # The encoder is what hours went into: it is written first.
    (run / "encoder.onnx").unlink()
    (run / "evaluation.json").unlink()
    (run / "evaluation.json").mkdir()
    assert "evaluation.json" in ostiary(*asked, "--resume", program="training").stderr
    assert (run / "encoder.onnx").read_bytes() == before[0]
    asked = arguments(tmp_path, faces, bundle_dir, SETTINGS.replace("epochs = 2", "epochs = 3"))
    other = ostiary(*asked, "--resume", program="training")
    assert other.returncode == 2
    assert "last.pt was made with other settings" in other.stderr
    assert (run / "settings.toml").read_text() == SETTINGS
