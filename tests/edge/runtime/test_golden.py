"""A backend that does not reproduce the golden vectors is refused, and the model is named."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.backends import Choice, backends
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.ovino import OpenVinoBackend
from ostiary.edge.runtime.runner import Backend, Runner, Tensors
from ostiary.edge.vision.pipeline import open_pipeline
from tests.support.places import ROOT

Wrong = Callable[[Tensors], Tensors]


class WrongBackend:
    """A real backend that falsifies the input of one model file."""

    name = "wrong"
    runs_int8 = False

    def __init__(self, real: Backend, spoil: Wrong, file: str = "encoder.onnx") -> None:
        self._real, self._spoil, self._file = real, spoil, file

    def load(self, file: Path, model: ModelEntry) -> Runner:
        runner, spoil = self._real.load(file, model), self._spoil
        if model.file != self._file:
            return runner

        class Spoiled:
            precision = "f32"

            def infer(self, inputs: Tensors) -> Tensors:
                return runner.infer(spoil(inputs))

            def close(self) -> None:
                runner.close()

        return Spoiled()


def channels_swapped(inputs: Tensors) -> Tensors:
    return {name: np.ascontiguousarray(x[:, ::-1]) for name, x in inputs.items()}


def scaled(inputs: Tensors) -> Tensors:
    return {name: x * np.float32(0.5) for name, x in inputs.items()}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_both_backends_are_proven(bundle: Bundle, backend: str) -> None:
    assert golden.prove(bundle, backend, threads=1).backend == backend


@pytest.mark.parametrize("spoil", [channels_swapped, scaled])
def test_a_backend_that_computes_something_else_is_refused(
    bundle: Bundle, spoil: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    (real,) = backends("onnxruntime", 1).found
    wrong = WrongBackend(real, spoil)
    monkeypatch.setattr(golden, "backends", lambda *_: Choice([wrong], []))
    with pytest.raises(BackendError, match=r"wrong: the encoder is .* off its golden vectors"):
        golden.prove(bundle, "auto", 1)


def test_a_refused_backend_makes_room_for_the_next(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (real,) = backends("onnxruntime", 1).found
    wrong = WrongBackend(real, channels_swapped)
    monkeypatch.setattr(golden, "backends", lambda *_: Choice([wrong, real], ["none: absent"]))
    proven = golden.prove(bundle, "auto", 1)
    assert proven.backend == "onnxruntime"
    assert proven.refused[0] == "none: absent"
    assert proven.refused[1].startswith("wrong: the encoder")


def test_if_only_int8_is_wrong_the_backend_runs_float(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (real,) = backends("openvino", 1).found
    wrong = WrongBackend(real, scaled, "encoder.int8.onnx")
    wrong.runs_int8 = True
    monkeypatch.setattr(golden, "backends", lambda *_: Choice([wrong], []))
    proven = golden.prove(bundle, "auto", 1)
    assert sorted(proven.runners) == ["detector", "encoder", "landmarks", "pad"]
    (reason,) = proven.refused
    assert reason.startswith("wrong int8: the encoder_int8 is")


def test_a_model_file_that_is_no_model_is_a_clear_error(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "encoder.onnx"
    file.write_bytes(b"not a model")
    for choice in ("openvino", "onnxruntime"):
        (backend,) = backends(choice, 1).found
        with pytest.raises(BackendError, match="cannot load"):
            backend.load(file, bundle.model("encoder"))


def test_auto_is_openvino_first_and_others_are_refused() -> None:
    assert [b.name for b in backends("auto", 1).found] == ["openvino", "onnxruntime"]
    with pytest.raises(BackendError, match="unknown backend"):
        backends("abacus", 1)


def test_a_backend_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ostiary.edge.runtime.ovino", None)
    with pytest.raises(BackendError, match=r"ostiary\[cpu\]"):
        backends("openvino", 1)
    assert [b.name for b in backends("auto", 1).found] == ["onnxruntime"]


def test_a_runner_returns_memory_of_its_own(bundle: Bundle) -> None:
    for choice in ("openvino", "onnxruntime"):
        (backend,) = backends(choice, 1).found
        runner = backend.load(bundle.path / "encoder.onnx", bundle.model("encoder"))
        rng = np.random.default_rng(0)
        shape = bundle.model("encoder").spec.shape
        first = runner.infer({"input": rng.random(shape, dtype=np.float32)})["embedding"]
        kept = first.copy()
        runner.infer({"input": rng.random(shape, dtype=np.float32)})
        assert (first == kept).all()


def test_a_damaged_cache_is_thrown_away(bundle: Bundle, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert golden.prove(bundle, "openvino", 1, cache).backend == "openvino"
    blobs = [path for path in cache.rglob("*") if path.is_file()]
    assert blobs
    for blob in blobs:
        data = bytearray(blob.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 65536] = bytes(65536)
        blob.write_bytes(data)
    assert golden.prove(bundle, "openvino", 1, cache).backend == "openvino"


def test_a_manifest_with_a_wrong_dimension_is_refused(bundle: Bundle) -> None:
    lying = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, dim=128))
    with pytest.raises(BackendError, match="192 values, the manifest says 128"):
        golden.prove(lying, "onnxruntime", 1)


def test_no_backend_calls_home_or_leaves_traces(bundle_dir: Path, tmp_path: Path) -> None:
    """OpenVINO's statistics package opened a connection at every start, unless CI was set."""
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a name was looked up')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from pathlib import Path\n"
        "from ostiary.edge.vision.pipeline import open_pipeline\n"
        "from ostiary.edge.runtime import bundle\n"
        f"loaded = bundle.load(Path({str(bundle_dir)!r}))\n"
        "for backend in ('openvino', 'onnxruntime'): open_pipeline(loaded, backend)\n"
        "assert 'openvino_telemetry.main' not in sys.modules\n"
    )
    home = {k: v for k, v in os.environ.items() if k not in ("CI", "XDG_CACHE_HOME")}
    home["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()


def test_probes_are_int8_only_on_backends_where_it_is_fast_and_if_wanted(
    bundle: Bundle,
) -> None:
    assert open_pipeline(bundle, "onnxruntime").precision == "f32"
    assert open_pipeline(bundle, "openvino", precision="float").precision != "int8"
    opened = open_pipeline(bundle, "openvino")
    if any("encoder_int8" in line for line in opened.refused):
        pytest.skip("this processor does not compute this int8 encoder as recorded")
    assert opened.precision == "int8"


def test_an_int8_encoder_with_its_channels_swapped_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = dict(bundle.golden())
    model = bundle.model("encoder_int8")
    images = lying["encoder_int8.images"]
    runner = OpenVinoBackend(1, None).load(bundle.path / model.file, model)
    lying["encoder_int8.outputs"] = golden.outputs(
        runner, "encoder_int8", model, np.ascontiguousarray(images[..., ::-1])
    )
    with pytest.raises(BackendError, match=r"encoder_int8 is .* off its golden vectors"):
        golden.check("encoder_int8", model, runner, lying)
