"""A bundle with further passive models: built, proven, timed, and asked about a face."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.faces import geometry, preprocess
from ostiary.edge.core.scores.verifier import probability
from ostiary.edge.core.types import Image
from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.export.bundle import build, release
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from tests.support.places import ostiary, ostiary_export

pytestmark = pytest.mark.long

pytest.importorskip("torch")
made_weights = pytest.importorskip("tests.support.export.made_weights")

QUIET = lambda stage: None  # noqa: E731
NAMES = ["pad", "pad_v2", "pad_v1se", "pad_again"]


@pytest.fixture(scope="module")
def folder(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with two networks of made-up weights, and with `pad` again as an ONNX file."""
    made = tmp_path_factory.mktemp("further")
    v2 = made_weights.write(made, "minifasnet-v2", "v2.pth")
    v1se = made_weights.write(made, "minifasnet-v1se", "v1se.pth", seed=1)
    shutil.copy(bundle_dir / "pad.onnx", made / "again.onnx")
    again = msgspec.to_builtins(bundles.read(bundle_dir).model("pad")) | {"file": "pad_again.onnx"}
    hashed = bundles.sha256((made / "again.onnx").read_bytes())
    weights = {"file": "again.onnx", "sha256": hashed, "licence": "the same"}
    tables = {"models": {"pad_again": {"weights": weights, "entry": again}}}
    (made / "mine.toml").write_text(
        'name = "mine"\nbase = "mobilefacenet-192"\n'
        + made_weights.tables(v2, "minifasnet-v2", "pad_v2")
        + made_weights.tables(v1se, "minifasnet-v1se", "pad_v1se", live=2, box_factor=4.0)
        + msgspec.toml.encode(tables).decode()
    )
    return made


@pytest.fixture(scope="module")
def built(folder: Path) -> Bundle:
    done = ostiary_export("build", folder / "mine.toml", "--out", folder / "bundle")
    assert done.returncode == 0, done.stderr
    return bundles.load(folder / "bundle")


@pytest.fixture(scope="module")
def passive(built: Bundle) -> Pipeline:
    return open_pipeline(built)


def test_its_manifest_says_what_it_holds_and_where_it_came_from(built: Bundle) -> None:
    assert built.manifest.schema == 4
    assert built.manifest.recipe == "mine"
    assert list(built.manifest.models.passive) == NAMES
    entry = built.model("pad_v1se")
    assert (entry.live, entry.box_factor, entry.size_px) == (2, 4.0, (80, 80))
    sources = [(source.package, source.licence) for source in built.manifest.sources]
    assert ("file:v2.pth", "nobody's") in sources
    assert ("file:again.onnx", "the same") in sources
    assert {f"{name}.images" for name in NAMES} <= set(built.golden())
    # The recipe's own measurements: the encoder is the same.
    assert built.measured is not None
    assert release.objections(built) == []


def test_every_passive_model_answers_by_its_name(passive: Pipeline, portrait: Image) -> None:
    face = passive.find(portrait)[0]
    found = passive.passive(portrait, face)
    assert list(found) == NAMES
    assert found["pad_again"] == pytest.approx(found["pad"], abs=1e-4)
    assert passive.live(portrait, face) == pytest.approx(probability(found["pad"]), abs=1e-6)
    for name, graph, seed in (("pad_v2", "minifasnet-v2", 0), ("pad_v1se", "minifasnet-v1se", 1)):
        logits = by_hand(passive, portrait, name, graph, seed)
        live = passive.bundle.model(name).live
        others = np.delete(logits, live)
        assert found[name] == pytest.approx(logits[live] - np.log(np.exp(others).sum()), abs=1e-3)


def by_hand(passive: Pipeline, image: Image, name: str, graph: str, seed: int) -> np.ndarray:
    """The logits of a model by PyTorch, on the crop that belongs to it."""
    import torch

    from ostiary.export.networks import in_torch
    from ostiary.export.networks.minifasnet import NETWORKS

    model = passive.bundle.model(name)
    around = geometry.surroundings(image, passive.find(image)[0].box_px, model.box_factor)
    shown = preprocess.averaged(around, model.spec).transpose(2, 0, 1)[None].astype(np.float32)
    state = {k.removeprefix("module."): v for k, v in made_weights.state(graph, seed).items()}
    return np.asarray(in_torch.run(NETWORKS[graph], state, shown, torch)[0], np.float64)


def test_the_bench_times_each_by_its_name(built: Bundle) -> None:
    done = ostiary(
        "bench", "--bundle", built.path, "--rounds", "10", "--backend", "openvino", "--json"
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["backends"]
    stages = {name: times["p50_ms"] for name, times in found["stages"].items()}
    assert set(NAMES) <= set(stages)
    assert stages["frame + pad"] > stages["frame"]
    table = ostiary("bench", "--bundle", built.path, "--rounds", "10", "--backend", "openvino")
    assert all(f" {name} " in table.stdout for name in NAMES)


def test_every_command_that_shows_a_bundle_names_them(built: Bundle) -> None:
    for done in (
        ostiary("bundle", "check", built.path),
        ostiary_export("inspect", built.path),
    ):
        assert done.returncode == 0, done.stderr
        assert "pad_v1se.onnx" in done.stdout


def test_without_int8_they_stay(built: Bundle) -> None:
    assert list(built.in_float().manifest.models.passive) == NAMES


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("live = 2", "live = 3"), ConfigError, r"pad_v1se\.onnx does not fit minifasnet-v1se"),
        (
            ('graph = "minifasnet-v1se"', 'graph = "minifasnet-v2"'),
            BundleError,
            r"v1se\.pth does not fit minifasnet-v2",
        ),
        (('"again.onnx"', '"gone.onnx"'), BundleError, r"cannot read .*gone\.onnx"),
    ],
)
def test_a_model_that_cannot_be_used_ends_the_build_and_leaves_nothing(
    folder: Path,
    tmp_path: Path,
    change: tuple[str, str],
    error: type[Exception],
    says: str,
) -> None:
    text = (folder / "mine.toml").read_text()
    assert change[0] in text
    (folder / "changed.toml").write_text(text.replace(*change))
    plan = recipe.load(str(folder / "changed.toml"))
    with pytest.raises(error, match=says):
        build.build(plan, tmp_path / "out", Options(int8=False), QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_live_class_that_an_onnx_file_does_not_have_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    text = (folder / "mine.toml").read_text()
    other = text.replace('file = "pad_again.onnx"', 'file = "pad_again.onnx"\nlive = 3')
    (folder / "live.toml").write_text(other)
    with pytest.raises(BundleError, match=r"pad_again gives 3 values, and `live` is 3"):
        plan = recipe.load(str(folder / "live.toml"))
        build.build(plan, tmp_path / "out", Options(int8=False), QUIET)
