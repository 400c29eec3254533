"""The commands as a user runs them: what they print, their exit codes, never a traceback."""

import json
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.scores.verifier import probability
from ostiary.edge.core.types import Image, Template
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import INT8
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import VERIFIER
from ostiary.edge.vision.enrollment import SECOND_PHOTO
from ostiary.export.bundle import release, signing
from scripts import trial
from tests.support import made_verifier
from tests.support.fakes import image, unit
from tests.support.places import ostiary, refused, write_png

PROFILE = """
[device]
site = "test"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "folder:{folder}"
[state]
path = "state"
"""


@pytest.fixture
def profile(bundle_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "door.toml"
    path.write_text(PROFILE.format(bundle=bundle_dir, folder=tmp_path))
    return path


@pytest.fixture(scope="session")
def people() -> Path:
    return trial.sample_photos()


def test_verify_says_same_or_different_by_its_exit_code(bundle_dir: Path, people: Path) -> None:
    a, b, c = people / "obama.jpg", people / "obama2.jpg", people / "biden.jpg"
    same = ostiary("verify", "--bundle", bundle_dir, a, b, "--json")
    assert same.returncode == 0
    found = json.loads(same.stdout)
    assert found["same"]
    assert found["squared_distance"] == pytest.approx(2 - 2 * found["score"], abs=1e-5)
    assert found["score"] >= found["tau"]
    different = ostiary("verify", "--bundle", bundle_dir, a, c)
    assert different.returncode == 1
    assert "different" in different.stdout


def test_verify_asks_the_bundles_head_where_it_is_told_to(
    bundle_dir: Path, people: Path, tmp_path: Path
) -> None:
    a, b = people / "obama.jpg", people / "obama2.jpg"
    none = refused("verify", "--bundle", bundle_dir, "--verifier", a, b)
    assert "no verifier.json" in none
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_dir, folder)
    loaded = bundles.read(folder)
    int8 = loaded.manifest.files[loaded.model(INT8).file]
    asked = ("verify", "--bundle", folder, "--verifier", "--json", a, b)
    for bias, code in ((20.0, 0), (-20.0, 1)):
        head = made_verifier.made(loaded.encoder_id, loaded.dim, -0.1, bias, int8)
        held = {VERIFIER: verifier_file.to_text(head)}
        release.write_manifest(folder, loaded.manifest, held)
        signing.sign_bundle(folder, signing.read_seed(signing.default_key()))
        done = ostiary(*asked)
        found = json.loads(done.stdout)
        assert done.returncode == code, done.stderr
        assert found["score"] >= found["tau"]
        assert (found["probability"] >= found["least_probability"]) == found["same"] == (not code)
        least = threshold(head.curve("float_int8"), 1e-3, 1)
        assert found["least_probability"] == probability(least.tau)
    for fmr, supported in ((0.01, True), (2e-4, False)):
        found, least = (
            json.loads(ostiary(*asked, "--fmr", str(fmr)).stdout),
            threshold(head.curve("float_int8"), fmr, 1),
        )
        assert found["least_probability"] == probability(least.tau)
        assert found["tau_supported"] == least.supported == supported
    plain = ostiary("verify", "--bundle", folder, "--json", a, b)
    assert "probability" not in json.loads(plain.stdout)
    assert plain.returncode == 0


def test_embed_gives_a_row_a_photo(
    bundle_dir: Path, people: Path, portrait_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    wall = write_png(tmp_path / "wall.png", image(99))
    photos = [people / "obama.jpg", wall, portrait_file, tmp_path / "broken.jpg"]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, photos)) + "\n")
    out = tmp_path / "e.npy"
    done = ostiary("embed", "--bundle", bundle_dir, "--list", listed, "--out", out, "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert (summary["photos"], summary["embedded"]) == (4, 2)
    assert next(p["problem"] for p in summary["problems"]) == "no face"
    rows = np.load(out)
    assert rows.shape == (4, 192)
    assert rows.dtype == np.float32
    assert np.isnan(rows[[1, 3]]).all()
    assert np.linalg.norm(rows[[0, 2]], axis=1) == pytest.approx(1, abs=1e-5)
    # As Windows writes it, with blanks; a name that ends with a blank is a name all the same.
    photos[1] = photos[1].rename(tmp_path / "wall.png ")
    text = "\ufeff" + "".join(f"{photo}{' ' * (photo is not photos[1])}\r\n" for photo in photos)
    listed.write_bytes(f"{text} \r\n".encode())
    done = ostiary("embed", "--bundle", bundle_dir, "--list", listed, "--out", out, "--json")
    assert next(p["problem"] for p in json.loads(done.stdout)["problems"]) == "no face"
    assert np.array_equal(np.load(out), rows, equal_nan=True)


def test_enroll_identify_forget(profile: Path, people: Path, portrait_file: Path) -> None:
    for subject in ("obama", "biden"):
        done = ostiary("enroll", "--config", profile, subject, people / f"{subject}.jpg")
        assert done.returncode == 0, done.stderr
        assert SECOND_PHOTO in done.stderr
        assert f"(enroll {subject} again, from both photos)" in done.stderr
    both = people / "obama.jpg", people / "obama3.jpg"
    done = ostiary("enroll", "--config", profile, "obama", *both)
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(ostiary("subjects", "--config", profile, "--json").stdout)
    assert [(row["subject"], *row["photos"].values()) for row in listed] == [
        ("biden", 1),
        ("obama", 2),
    ]
    granted = ostiary("identify", "--config", profile, people / "obama2.jpg", "--json")
    assert granted.returncode == 0
    found = json.loads(granted.stdout)
    assert found["decision"]["subject"] == "obama"
    assert [c["subject"] for c in found["candidates"]] == ["obama", "biden"]
    assert found["tau"]["k"] == 2
    # `identify` works even if the profile wants a logistic head that this bundle lacks.
    asking = profile.with_name("asking.toml")
    asking.write_text(
        profile.read_text()
        + '[claims]\nsource = "stdin:"\n[recognition]\nmode = "verify"\nverifier = true\n'
    )
    again = ostiary("identify", "--config", asking, people / "obama2.jpg", "--json")
    assert json.loads(again.stdout) == found, again.stderr
    denied = ostiary("identify", "--config", profile, portrait_file)
    assert denied.returncode == 1
    assert "denied / unknown" in denied.stdout
    assert ostiary("forget", "--config", profile, "obama").returncode == 0
    assert ostiary("identify", "--config", profile, people / "obama2.jpg").returncode == 1
    assert "not enrolled" in refused("forget", "--config", profile, "obama")


@pytest.mark.parametrize("command", ["enroll", "forget"])
def test_a_door_that_follows_the_roster_enrolls_and_forgets_nobody(
    profile: Path, people: Path, command: str
) -> None:
    followed = '[mqtt]\nhost = "h"\n[roster]\noperators = "keys"\nsite_key = "site.key"\n'
    profile.write_text(profile.read_text() + followed)
    photos = [people / "obama.jpg"] * (command == "enroll")
    text = refused(command, "--config", profile, "obama", *photos)
    assert "roster" in text
    assert "ostiary-fleet" in text
    assert not (profile.parent / "state").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated.jpg", "cut short"),
        ("empty.jpg", "0 bytes"),
        ("pixel.png", "1x1"),
        ("text.jpg", "not a picture"),
        ("none.jpg", "No such file"),
        ("wall.png", "no face"),
        ("couple.png", "2 faces"),
    ],
)
def test_bad_photos_are_refused_by_every_command_that_takes_one(
    profile: Path, bundle_dir: Path, portrait_file: Path, portrait: Image, tmp_path: Path,
    name: str, message: str,
) -> None:  # fmt: skip
    (tmp_path / "truncated.jpg").write_bytes(portrait_file.read_bytes()[:30_000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    write_png(tmp_path / "pixel.png", np.zeros((1, 1, 3), np.uint8))
    write_png(tmp_path / "wall.png", image(99, 480, 640))
    write_png(tmp_path / "couple.png", np.hstack([portrait, portrait]))
    photo = tmp_path / name
    text = refused("enroll", "--config", profile, "x", photo)
    assert message in text
    assert name in text
    if name != "couple.png":
        assert message in refused("verify", "--bundle", bundle_dir, photo, portrait_file)
    assert json.loads(ostiary("subjects", "--config", profile, "--json").stdout) == []


def test_a_template_of_another_encoder_is_named(
    profile: Path, portrait_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state" / "store.db")
    store.put(Template("alice", "f" * 64, unit(np.ones(128))), 0.0)
    store.close()
    assert "another encoder only: alice" in refused("identify", "--config", profile, portrait_file)


def test_bad_bundles_and_profiles(
    profile: Path, bundle_dir: Path, portrait_file: Path, tmp_path: Path
) -> None:
    both = (portrait_file, portrait_file)
    assert "manifest.json" in refused("verify", "--bundle", tmp_path, *both)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in bundle_dir.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    data = bytearray((broken / "encoder.onnx").read_bytes())
    data[1000] ^= 1
    (broken / "encoder.onnx").write_bytes(data)
    assert "encoder.onnx is not the file" in refused("verify", "--bundle", broken, *both)
    assert "encoder.onnx is not the file" in refused("bench", "--bundle", broken)
    bad = tmp_path / "bad.toml"
    bad.write_text(profile.read_text() + "[recognition]\nfipr = 0.1\n")
    text = refused("check-config", bad)
    assert "unknown field `fipr` - at `$.recognition`" in text
    assert "fipr" in refused("run", "--config", bad)
    assert ostiary("check-config", profile).returncode == 0
    assert "not a subject id" in refused("enroll", "--config", profile, "A b", *both)


def test_check_config_says_what_the_bundle_at_hand_warns_of(
    profile: Path, bundle_dir: Path, tmp_path: Path
) -> None:
    weak = tmp_path / "weak"
    shutil.copytree(bundle_dir, weak)
    manifest = bundles.read(weak).manifest
    release.write_manifest(weak, msgspec.structs.replace(manifest, warnings=["it is [weak]"]), {})
    said = f"{weak}: it is [weak]"
    for place in (f'path = "{weak}"', f'path = "{bundle_dir}"\nnext = "{weak}"'):
        warned = tmp_path / "warned.toml"
        warned.write_text(profile.read_text().replace(f'path = "{bundle_dir}"', place))
        done = ostiary("check-config", warned, profile)
        assert (done.returncode, done.stderr) == (0, f"warning: {said}\n")
        told = json.loads(ostiary("check-config", warned, profile, "--json").stdout)
        assert told == {str(warned): f"ok; warning: {said}", str(profile): "ok"}
    shutil.rmtree(weak)
    assert ostiary("check-config", warned).stderr == "", "a profile is checked elsewhere, too"


def test_bad_lists_and_places_to_write(bundle_dir: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    empty = tmp_path / "empty.txt"
    empty.touch()
    out = ("--out", tmp_path / "e.npy")
    assert "cannot read the list" in refused(
        "embed", "--bundle", bundle_dir, "--list", missing, *out
    )
    assert "names no photos" in refused("embed", "--bundle", bundle_dir, "--list", empty, *out)
    assert "no recipe 'x'" in refused("build", "x", "--out", tmp_path / "b", program="export")


def test_the_bench_prints_every_stage(bundle_dir: Path) -> None:
    done = ostiary("bench", "--bundle", bundle_dir, "--rounds", "10", "--large", "20000", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [b["backend"] for b in found["backends"]] == ["openvino", "onnxruntime"]
    for backend in found["backends"]:
        stages = backend["stages"]
        named = {"detect", "landmarks", "align", "embed", "search", "frame", "frame + pad", "pad"}
        assert set(stages) == named
        assert stages["frame + pad"]["p50_ms"] >= stages["pad"]["p50_ms"] > 0
        assert stages["frame"]["p50_ms"] >= stages["embed"]["p50_ms"] > 0
    assert found["search"]["k"] == 20000


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "folder:nowhere", "walk.mp4", "gst:", "0"]
)
def test_a_camera_that_can_never_be_is_refused_at_once(
    profile: Path, tmp_path: Path, url: str
) -> None:
    text = profile.read_text().replace(f"folder:{tmp_path}", url)
    profile.write_text(text)
    for command in (("check-config", profile), ("run", "--config", profile)):
        assert re.search("no camera|no file or folder", refused(*command))
