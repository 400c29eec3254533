"""A user's own encoder, from a short TOML to a signed bundle that `ostiary verify` runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.places import DATA, ostiary, ostiary_export, write_png

pytest.importorskip("torch")
from ostiary.edge.runtime import bundle as bundles
from tests.support.export import siamese

pytestmark = pytest.mark.long

FORMS = {
    "program": 'source = "pair.pt2"\npair = true',
    "onnx": 'source = "branch.onnx"',
    "script": 'source = "pair.ts"\npair = true',
    "trace": 'source = "branch.pt"',
    "module": 'source = "siamese:pair"\nstate = "pair_state.pt"\npair = true',
}
TAKES = '\nsize_px = [28, 28]\nchannels = "gray"\nmean = 127.5\nscale = 127.5\nlicence = "ours"\n'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained net in every form and a TOML file for each form."""
    if not (DATA / "orl").is_dir():
        pytest.skip(f"no face data in {DATA}")
    folder = tmp_path_factory.mktemp("own")
    net = siamese.train(DATA / "orl")
    siamese.write_all(net, "pair", 2, folder)
    siamese.write_all(net.branch, "branch", 1, folder)
    shutil.copy(siamese.__file__, folder)
    for name, text in FORMS.items():
        (folder / f"{name}.toml").write_text(text + TAKES)
    return folder


@pytest.mark.data
@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_becomes_a_bundle_that_verifies_faces(trained: Path, form: str) -> None:
    out, photos = trained / f"bundle-{form}", DATA / "orl"
    made = ostiary_export(
        *("build", trained / f"{form}.toml", "--out", out, "--calibrate", photos),
        *("--faces", photos, "--max-loss", "0.05", "--max-cross-loss", "0.05"),
        "--sign-weak",
    )
    assert made.returncode == 0, made.stderr
    assert "torchvision" not in made.stderr
    bundle = bundles.load(out)
    assert (bundle.dim, bundle.model("encoder").spec.shape) == (128, (1, 1, 28, 28))
    assert bundle.manifest.sources[-1].licence == "ours"
    a, b = photos / "s1" / "1.pgm", photos / "s2" / "1.pgm"
    assert ostiary("verify", "--bundle", out, a, a).returncode == 0
    assert ostiary("verify", "--bundle", out, a, b).returncode == 1


@pytest.mark.data
def test_a_folder_without_faces_is_refused(trained: Path, tmp_path: Path) -> None:

    for person in range(40):
        folder = tmp_path / "walls" / f"p{person}"
        folder.mkdir(parents=True)
        write_png(folder / "1.png", np.full((200, 200, 3), person, np.uint8))
    out = tmp_path / "out"
    made = ostiary_export(
        "build", trained / "onnx.toml", "--out", out, "--calibrate", tmp_path / "walls"
    )
    assert made.returncode == 2
    assert "no face in any of the 40 photos" in made.stderr
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["walls"]
