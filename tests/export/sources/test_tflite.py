"""The conversion against TensorFlow Lite itself, and its arithmetic of shapes."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ostiary.edge.errors import BundleError
from ostiary.export.plan import fetch, recipe
from ostiary.export.sources import tflite


@pytest.fixture(scope="module")
def source(bundle_dir: Path) -> Path:
    return fetch.of_plan(recipe.load("mobilefacenet-192"), "encoder", None)


def test_it_computes_what_tensorflow_lite_does(source: Path, bundle_dir: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    original = Interpreter(str(source))
    original.allocate_tensors()
    entry = original.get_input_details()[0]
    images = np.random.default_rng(5).uniform(-1, 1, entry["shape"]).astype(np.float32)
    original.set_tensor(entry["index"], images)
    original.invoke()
    expected = original.get_tensor(original.get_output_details()[0]["index"])
    session = onnxruntime.InferenceSession(str(bundle_dir / "encoder.onnx"))
    got = session.run(None, {"input": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})[0]
    assert got.shape == expected.shape
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(got - expected).max() < 1e-5


def test_any_batch_size_is_taken(bundle_dir: Path) -> None:
    session = onnxruntime.InferenceSession(str(bundle_dir / "encoder.onnx"))
    images = np.random.default_rng(1).random((3, 3, 112, 112), dtype=np.float32)
    together = session.run(None, {"input": images})[0]
    alone = np.concatenate([session.run(None, {"input": images[i : i + 1]})[0] for i in range(3)])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_conversion_that_is_wrong_is_refused(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = tflite._geometry
    monkeypatch.setattr(tflite, "_geometry", lambda *a: (right(*a)[0], right(*a)[1][::-1]))
    with pytest.raises(BundleError, match="differs from the original"):
        tflite.convert(source)


def test_a_file_that_is_not_tflite_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(BundleError, match=r"a\.tflite is not a TensorFlow Lite model"):
        tflite.convert(path)


@pytest.mark.parametrize(
    ("size", "result", "kernel", "stride", "pads"),
    [
        (112, 56, 3, 2, [0, 0, 1, 1]),
        (56, 56, 3, 1, [1, 1, 1, 1]),
        (7, 1, 7, 1, [0, 0, 0, 0]),
        (14, 14, 1, 1, [0, 0, 0, 0]),
    ],
)
def test_same_and_valid_padding(
    size: int, result: int, kernel: int, stride: int, pads: list[int]
) -> None:
    assert tflite._geometry(size, result, kernel) == (stride, pads)
