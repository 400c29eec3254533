"""`ostiary-train fit`: what it refuses, what its folder holds, and an exact resume."""

import os
from pathlib import Path

import msgspec
import onnx
import pytest
from typer.testing import CliRunner

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.export.faces import learned
from ostiary.export.sources.spec import read_spec
from ostiary.training.__main__ import app
from ostiary.training.cli import fit, runs
from ostiary.training.data.photos import Faces, LeftOut
from ostiary.training.encoders import architectures
from ostiary.training.judge import evaluation
from ostiary.training.run import log, loop
from ostiary.training.run.distributed import ALONE, Team
from ostiary.training.run.log import EpochLine, StepLine
from ostiary.training.run.settings import EncoderStart, FitSettings
from ostiary.training.tasks import fit as learn
from tests.support.places import ostiary, refused
from tests.support.training import lesson

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
        ("", "cannot write to .*file"),
    ],
)
def test_so_is_what_only_a_run_would_ask_for(tmp_path: Path, more: str, problem: str) -> None:
    path, nowhere = tmp_path / "settings.toml", tmp_path / "nowhere"
    path.write_text(SHORT + more)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=problem):
        fit.fit(path, nowhere, nowhere, tmp_path / "file" / "run")


def test_a_refusal_before_the_run_began_leaves_room_for_other_settings(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(PhotoError), runs.held(run, b"seed = 1\n", ALONE):
        raise PhotoError("too few")
    runs.refuse(run, resume=False, settings=b"seed = 2\n")
    with pytest.raises(PhotoError), runs.held(run, b"seed = 2\n", ALONE):
        assert (run / "settings.toml").read_bytes() == b"seed = 2\n"
        (run / "log.jsonl").touch()
        raise PhotoError("too few")
    assert (run / "settings.toml").read_bytes() == b"seed = 2\n", "it began"


def test_settings_that_were_there_before_outlive_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"seed = 1\n")
    with pytest.raises(PhotoError), runs.held(tmp_path, b"seed = 1\n", ALONE):
        raise PhotoError("too few")
    assert (tmp_path / "settings.toml").read_bytes() == b"seed = 1\n"


def test_a_folder_with_no_more_than_its_settings_is_no_run(tmp_path: Path) -> None:
    """As a power cut leaves it before the run began."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.toml").write_bytes(b"seed = 1\n")
    runs.refuse(run, resume=False, settings=b"seed = 1\n")
    runs.refuse(run, resume=True, settings=b"seed = 1\n")
    with pytest.raises(ConfigError, match="there is no run"):
        runs.refuse(tmp_path / "nowhere", resume=True, settings=b"seed = 1\n")
    (run / "log.jsonl").touch()
    with pytest.raises(ConfigError, match="already exists") as caught:
        runs.refuse(run, resume=False, settings=b"seed = 1\n")
    assert caught.value.hint.startswith("--resume continues")


@pytest.mark.parametrize("resume", [False, True])
def test_settings_that_somebody_wrote_are_never_replaced(tmp_path: Path, resume: bool) -> None:
    """A folder with nothing else may be where they are kept; with --resume it may be any folder."""
    path = tmp_path / "settings.toml"
    path.write_bytes(b"seed = 7  # hours of thought\n")
    if resume:
        (tmp_path / "thesis.tex").touch()
        problem = "there is no run"
    else:
        problem = "holds other settings"
    with pytest.raises(ConfigError, match=problem):
        runs.refuse(tmp_path, resume, b"seed = 1\n")
    with (
        pytest.raises(ConfigError, match=r"settings\.toml holds other settings"),
        runs.held(tmp_path, b"seed = 1\n", ALONE),
    ):
        pass
    assert path.read_bytes() == b"seed = 7  # hours of thought\n"
    path.unlink()
    if resume:
        with pytest.raises(ConfigError, match="there is no run"):
            runs.refuse(tmp_path, resume, b"seed = 1\n")


def test_a_run_killed_before_its_first_checkpoint_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    with runs.held(tmp_path, b"seed = 1\n", ALONE):
        pass
    runs.refuse(tmp_path, resume=True, settings=b"seed = 1\n")
    with pytest.raises(ConfigError, match="holds other settings"):
        runs.refuse(tmp_path, resume=True, settings=b"seed = 2\n")
    # Of one with a checkpoint the settings are compared with those it was made with.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").touch()
    runs.refuse(tmp_path, resume=True, settings=b"seed = 2\n")
    with runs.held(tmp_path, b"seed = 2\n", ALONE):
        assert (tmp_path / "settings.toml").read_bytes() == b"seed = 1\n"


def test_a_folder_that_tensorboard_cannot_write_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not UTF-8"):
        runs.refuse(tmp_path / os.fsdecode(b"caf\xe9"), resume=False, settings=b"")
    runs.refuse(tmp_path / "café", resume=False, settings=b"")


def test_a_run_counts_from_the_centred_encoder_and_tells_whom_it_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = learn.Parts(*(lesson.people(8, 3, seed) for seed in (1, 2, 3)))
    monkeypatch.setattr(fit, "_photos", lambda *a: (Faces(parts.training, LeftOut()), parts))
    path, run = tmp_path / "settings.toml", tmp_path / "run"
    path.write_text(SETTINGS.replace("epochs = 2", "epochs = 1"))
    fit.fit(path, tmp_path / "faces", tmp_path / "bundle", run)
    plain = learn.encoder_of(EncoderStart(architecture="small-28"), 0)
    as_built = learn.worth("untrained", plain, parts.judging)
    architectures.centre(plain, learn.shown_to(plain, parts.training.images))
    centred = learn.worth("untrained", plain, parts.judging)
    assert evaluation.read(run).evaluations[0].worst == centred.worst != as_built.worst
    listed = msgspec.json.decode((run / "learned.json").read_bytes())
    assert listed == sorted([*parts.training.photos, *parts.choosing.photos])
    described = read_spec(run / "encoder.toml")
    assert described.learned == "learned.json"
    (warning,) = described.warnings
    assert "UNPROVEN" in warning
    said = capsys.readouterr().out.replace("\n", " ")
    assert "--calibrate FACES --faces OTHERS" in said
    assert f"warning: {warning}" in said


def test_what_a_bundle_learned_from_is_asked_ahead_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After hours it may be another bundle; a resumed run must not take what that one says."""
    parts = learn.Parts(*(lesson.people(8, 3, seed) for seed in (1, 2, 3)))
    own = sorted({*parts.training.photos, *parts.choosing.photos})
    monkeypatch.setattr(fit, "_photos", lambda *a: (Faces(parts.training, LeftOut()), parts))
    says = [("theirs", ["a"]), ("another's", ["b"])]
    monkeypatch.setattr(learn, "begun_with", lambda start: says[0])
    learning = loop.fit

    def hours(*given: object) -> loop.RunOutcome:
        says.pop(0)
        return learning(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "fit", hours)
    path, run = tmp_path / "settings.toml", tmp_path / "run"
    path.write_text(SETTINGS.replace("epochs = 2", "epochs = 1"))
    fit.fit(path, tmp_path / "faces", tmp_path / "bundle", run)
    assert msgspec.json.decode((run / "learned.json").read_bytes()) == sorted([*own, "a"])
    assert read_spec(run / "encoder.toml").licence == "theirs"
    with pytest.raises(ConfigError, match="made with other photos learned before"):
        fit.fit(path, tmp_path / "faces", tmp_path / "bundle", run, resume=True)


def test_whom_the_encoder_learned_from_chooses_and_judges_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def found_in(*given: object, learned: list[str]) -> Faces:
        asked.append(learned)
        return Faces(lesson.people(12, 2, 1), LeftOut(), frozenset({"3", "5"}))

    monkeypatch.setattr(fit, "found_in", found_in)
    monkeypatch.setattr(bundles, "read", lambda path: None)
    for seed in range(8):
        chosen = FitSettings(encoder=EncoderStart(architecture="small-28"), seed=seed)
        _, parts = fit._photos(Path("faces"), Path("bundle"), chosen, ["3-0", "5-0"])
        assert {"3", "5"} <= set(parts.training.names)
    assert asked == [["3-0", "5-0"]] * 8


def test_who_goes_on_with_a_bundle_learned_from_its_people_too(bundle_dir: Path) -> None:
    assert learn.begun_with(EncoderStart(architecture="small-28")) == ("not stated", [])
    licence, known = learn.begun_with(EncoderStart(bundle=bundle_dir))
    assert licence.startswith("learned from encoder ")
    assert known == []
    parts = learn.Parts(*(lesson.people(2, 1, seed) for seed in (1, 2, 3)))
    found = learn.learned_from(["0-0", "1-1"], parts)
    assert found == ["0-0", "1-0", "1-1", "2-0", "2-1"]


def test_settings_are_read_once() -> None:
    """Settings are read once: a pipe has no second reading, and a file may change in between."""
    reading, writing = os.pipe()
    os.write(writing, SHORT.encode())
    os.close(writing)
    chosen, raw, encoder = fit._begun(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert (chosen.encoder.architecture, raw, encoder.dim) == ("small-28", SHORT.encode(), 128)


def test_batch_norm_goes_on_with_as_many_processes_only() -> None:
    faces = lesson.people(4, 2, 1)
    for name, held in (("small-28", False), ("facenet-128", True)):
        start = EncoderStart(architecture=name)
        made = [
            learn.made_with(
                FitSettings(encoder=start),
                learn.encoder_of(start, 0),
                learn.Parts(faces, faces, faces),
                [],
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
    assert len(learned.read(run / "learned.json")) > 20
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
