"""Ten epochs on 40 people make a weak encoder: signed only on request, and its door says so."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.places import ostiary, ostiary_export

pytestmark = [pytest.mark.long, pytest.mark.data]
SETTINGS = """
seed = 1
[encoder]
architecture = "facenet-128"
[data]
choosing = 0.1
judging = 0.25
[batches]
people = 12
[optimiser]
rate = 2e-3
epochs = 10
[stop]
patience = 0
"""
CALIBRATED_ON, JUDGED_ON = 40, 220


@pytest.fixture(scope="module")
def run(orl: Path, bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of ten epochs on ORL."""
    folder = tmp_path_factory.mktemp("weak")
    (folder / "settings.toml").write_text(SETTINGS)
    asked = ("fit", folder / "settings.toml", "--faces", orl, "--bundle", bundle_dir)
    done = ostiary(*asked, "--out", folder / "run", program="training")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def others(run: Path, faces_data: Path) -> Path:
    """Links to photos of people whom it did not learn from: to calibrate on, and to judge on."""
    held = {"calibrate": (1, CALIBRATED_ON), "judge": (2, JUDGED_ON)}
    for use, (photos, people) in held.items():
        folders = (p for p in sorted(faces_data.iterdir()) if len(list(p.iterdir())) == photos)
        for person in islice(folders, people):
            (run.parent / use).mkdir(exist_ok=True)
            (run.parent / use / person.name).symlink_to(person)
    return run.parent


def test_it_is_signed_only_on_request_and_its_door_says_why(
    run: Path, others: Path, portrait_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    faces = ("--calibrate", others / "calibrate", "--faces", others / "judge")
    # To some processors' roundings it learns so little that even other people look alike to it.
    built = ostiary_export("build", run / "encoder.toml", "--out", out, *faces, "--insist")
    if "it tells people apart better reading bgr" in built.stdout:
        # ORL is grey, so that the order of the channels is nothing that it could learn: declare
        # what the gate says.
        declared = run / "encoder.toml"
        declared.write_text(declared.read_text().replace('"rgb"', '"bgr"'))
        built = ostiary_export("build", declared, "--out", out, *faces, "--insist")
    assert built.returncode == 1, built.stderr
    assert "not signed: its encoder recognises" in built.stdout
    with pytest.raises(BundleError, match="not signed"):
        bundles.load(out)
    signed = ostiary_export("sign", out, "--sign-weak")
    assert signed.returncode == 0, signed.stderr
    warnings = bundles.load(out).manifest.warnings
    assert any(
        "of people at FMR 1e-3, 90 % are needed; signed by --sign-weak" in w for w in warnings
    )
    assert any("of enrolled people at K=100" in w for w in warnings)
    camera = tmp_path / "frames"
    camera.mkdir()
    (camera / "1.jpg").write_bytes(portrait_file.read_bytes())
    with trial.Mosquitto(tmp_path / "broker") as broker:
        listener = Listener(broker.port)
        with Door(tmp_path / "door", out, f"folder:{camera}", broker.port) as door:
            assert listener.until(lambda h: any(s.camera == "ok" for s in h.states)), door.log()
            assert listener.until(lambda h: len(h.events) >= len(warnings)), door.log()
        listener.close()
    assert listener.states[0].warnings == tuple(warnings)
    told = [event.detail for event in listener.events if event.event == "bundle-warning"]
    assert told == warnings
    assert all(f"bundle-warning: {warning}" in door.log() for warning in warnings)
