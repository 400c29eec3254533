"""The TensorRT runner against the API of each version, on either CUDA binding, without a GPU.

The fakes know no name that a version lacks, compute the engines for real, and end the test where
the real libraries would end the process.
"""

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.trt import TensorRtBackend, load_tensorrt
from ostiary.edge.vision.pipeline import open_pipeline
from tests.support.tensorrt import benchwork
from tests.support.tensorrt.benchwork import Device
from tests.support.tensorrt.fake_cuda import CUDA_PYTHON, PYCUDA
from tests.support.tensorrt.fake_memory import Refused
from tests.support.tensorrt.fake_trt import VERSIONS

BINDINGS = (CUDA_PYTHON, PYCUDA)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_runs_on_every_version_and_binding(
    bundle: Bundle, device: Device, tmp_path: Path, version: str, binding: str
) -> None:
    device.become(version, binding)
    made = benchwork.build(bundle, tmp_path)
    assert set(made.did.values()) == {"built"}
    pipeline = open_pipeline(bundle, "tensorrt", engines=tmp_path)
    assert (pipeline.backend, pipeline.precision, pipeline.refused) == ("tensorrt", "int8", ())
    half = "fp32" if version == "11.4" else "fp16"
    assert open_pipeline(bundle.in_float(), "tensorrt", engines=tmp_path).precision == half


@pytest.fixture
def orin(device: Device, bundle: Bundle, tmp_path: Path) -> Device:
    """A device with its engines built."""
    device.become("10.3")
    benchwork.build(bundle, tmp_path)
    return device


def test_auto_chooses_tensorrt_if_it_is_installed(
    bundle: Bundle, orin: Device, tmp_path: Path
) -> None:
    assert golden.prove(bundle, "auto", 1, engines=tmp_path).backend == "tensorrt"
    assert golden.prove(bundle, "auto", 1).backend == "openvino"


def crops(bundle: Bundle, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (count, *bundle.model("encoder").spec.shape)).astype(np.float32)


@pytest.mark.parametrize(("binding", "launches"), [(CUDA_PYTHON, 5), (PYCUDA, 0)])
def test_a_frame_allocates_nothing_and_is_one_graph_if_the_binding_captures(
    bundle: Bundle, device: Device, tmp_path: Path, binding: str, launches: int
) -> None:
    gpu = device.become("10.13", binding).gpu
    benchwork.build(bundle, tmp_path)
    model = bundle.model("encoder")
    runner = TensorRtBackend(tmp_path).load(bundle.path / model.file, model)
    before = dict(gpu.made)
    rows = [runner.infer({"input": x})[model.outputs[0]].copy() for x in crops(bundle, 5)]
    made = {kind: count - before.get(kind, 0) for kind, count in gpu.made.items()}
    work = {kind: count for kind, count in made.items() if count}
    queued = {"launch": launches} if launches else {"copy": 10, "enqueue": 5}
    assert work == {"wait": 5, **queued}
    expected = open_pipeline(bundle, "onnxruntime")._runners["encoder"]
    for row, x in zip(rows, crops(bundle, 5), strict=True):
        np.testing.assert_allclose(row, expected.infer({"input": x})[model.outputs[0]], atol=1e-5)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_runner_gives_all_its_memory_back(
    bundle: Bundle, device: Device, tmp_path: Path, binding: str
) -> None:
    gpu = device.become("10.3", binding).gpu
    benchwork.build(bundle, tmp_path)
    before = gpu.live()
    pipeline = open_pipeline(bundle, "tensorrt", engines=tmp_path)
    assert gpu.live() != before
    pipeline.close()
    del pipeline
    assert gpu.live() == before


def test_the_answer_is_the_callers_to_keep(bundle: Bundle, orin: Device, tmp_path: Path) -> None:
    model = bundle.model("encoder")
    runner = TensorRtBackend(tmp_path).load(bundle.path / model.file, model)
    first, second = crops(bundle, 2)
    kept = runner.infer({"input": first})[model.outputs[0]]
    was = kept.copy()
    runner.infer({"input": second})
    np.testing.assert_array_equal(kept, was)
    with pytest.raises(ValueError, match="expected"):
        runner.infer({"input": first[:, :, :50]})


def ask_elsewhere(bundle: Bundle, folder: Path) -> list[Floats | str]:
    """The answers that a thread gets which did not load the runner."""
    model = bundle.model("encoder")
    runner = TensorRtBackend(folder).load(bundle.path / model.file, model)
    answers: list[Floats | str] = []

    def ask() -> None:
        try:
            answers.append(runner.infer({"input": crops(bundle, 1)[0]})[model.outputs[0]])
        except BackendError as error:
            answers.append(error.message)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(30)
    return answers


def test_another_thread_may_use_a_runner(bundle: Bundle, orin: Device, tmp_path: Path) -> None:
    (answer,) = ask_elsewhere(bundle, tmp_path)
    assert not isinstance(answer, str)
    assert answer.shape == (1, bundle.dim)


def test_pycuda_works_in_the_main_thread_only(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    device.become("10.3", PYCUDA)
    benchwork.build(bundle, tmp_path)
    assert ask_elsewhere(bundle, tmp_path) == ["pycuda works in the main thread only"]


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("gpu", "said"), [({"libcuda": False}, "CUDA"), ({"devices": 0}, "CUDA|device")]
)
def test_without_a_driver_or_gpu_tensorrt_is_not_touched(
    bundle: Bundle, device: Device, tmp_path: Path, binding: str, gpu: dict[str, Any], said: str
) -> None:
    device.become("10.3", binding, **gpu)
    with pytest.raises(BackendError, match=said):
        TensorRtBackend(tmp_path)
    proven = golden.prove(bundle, "auto", 1, engines=tmp_path)
    assert proven.backend == "openvino"
    assert proven.refused[0].startswith("tensorrt: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"full": "10.3.1"}, "tensorrt tensorrt 10.3.0 there, tensorrt 10.3.1 here"),
        ({"driver": 13000}, "driver 12.6 there, 13.0 here"),
        ({"sm": (11, 0)}, "sm sm_87 there, sm_110 here"),
        ({"name": "Thor"}, "device Orin there, Thor here"),
    ],
)
def test_engines_of_another_place_leave_the_door_to_the_cpu(
    bundle: Bundle, orin: Device, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    orin.become("10.3", **change)
    proven = golden.prove(bundle, "auto", 1, engines=tmp_path)
    assert proven.backend == "openvino"
    assert said in proven.refused[0]


def test_an_engine_that_computes_something_else_is_not_used(
    bundle: Bundle, orin: Device, tmp_path: Path
) -> None:
    orin.trt.world_.spoil = lambda name, array: array * 0.5 if array.shape[-1] == 2 else array
    proven = golden.prove(bundle, "auto", 1, engines=tmp_path)
    assert proven.backend == "openvino"
    assert "off its golden vectors" in proven.refused[0]


def test_without_its_int8_engine_probes_are_embedded_in_half(
    bundle: Bundle, orin: Device, tmp_path: Path
) -> None:
    for file in tmp_path.glob("*.int8.engine"):
        file.unlink()
    pipeline = open_pipeline(bundle, "auto", engines=tmp_path)
    assert (pipeline.backend, pipeline.precision) == ("tensorrt", "fp16")
    assert pipeline.refused[0].startswith("tensorrt int8: there is no engine in")


def test_a_tensorrt_that_does_not_start_leaves_the_door_to_the_cpu(
    bundle: Bundle, orin: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(logger: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(orin.trt, "Runtime", nothing)
    proven = golden.prove(bundle, "auto", 1, engines=tmp_path)
    assert proven.backend == "openvino"
    assert proven.refused[0].startswith("tensorrt: TensorRT does not start")


def test_a_tensorrt_that_ended_the_process_is_left_out_once(
    bundle: Bundle, orin: Device, tmp_path: Path
) -> None:
    proven = golden.prove(bundle, "auto", 1, engines=tmp_path / ".trying")
    assert proven.backend == "openvino"
    told = [line for line in proven.refused if line.startswith("tensorrt")]
    assert told == ["tensorrt: TensorRT ended the process when it was last tried"]


def test_a_missing_tensorrt_is_reported_if_there_are_engines(
    bundle: Bundle, orin: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert golden.prove(bundle, "auto", 1, engines=tmp_path).refused[0].startswith("tensorrt: ")
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    assert "type stubs" in golden.prove(bundle, "auto", 1, engines=tmp_path).refused[0]


def test_a_damaged_plan_is_refused(bundle: Bundle, orin: Device, tmp_path: Path) -> None:
    model = bundle.model("encoder")
    backend = TensorRtBackend(tmp_path)
    with pytest.raises(BackendError, match="refuses the engine: Magic tag"):
        backend.open(b"no plan", model, "fp16")


def test_an_engine_without_room_is_refused(
    bundle: Bundle, orin: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = orin.trt.ICudaEngine
    monkeypatch.setattr(kind, "create_execution_context", lambda self, strategy=None: None)
    with pytest.raises(BackendError, match="no memory"):
        golden.prove(bundle, "tensorrt", 1, engines=tmp_path)


def test_an_engine_of_another_model_is_refused(
    bundle: Bundle, orin: Device, tmp_path: Path
) -> None:
    detector, encoder = bundle.model("detector"), bundle.model("encoder")
    backend = TensorRtBackend(tmp_path)
    with pytest.raises(BackendError, match="the manifest says"):
        backend.load(bundle.path / detector.file, encoder)


def test_without_a_captured_graph_the_runner_works(
    bundle: Bundle, orin: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: int) -> int:
        raise Refused("NOT_SUPPORTED")

    before = orin.gpu.made["launch"]
    monkeypatch.setattr(orin.gpu, "instantiate", refuse)
    assert golden.prove(bundle, "tensorrt", 1, engines=tmp_path).backend == "tensorrt"
    assert orin.gpu.made["launch"] == before


def test_a_folder_of_type_stubs_is_no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(ImportError, match="type stubs"):
        load_tensorrt()
