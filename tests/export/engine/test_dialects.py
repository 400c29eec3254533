"""The builder against a fake of each version of TensorRT: its settings, proofs and reports."""

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from ostiary.edge.errors import BackendError, BundleError, OstiaryError
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.engine import child
from ostiary.export.engine.make import Made, needed
from ostiary.export.engine.order import TENSORRT, Build, BuildStep, Built, Here, PlaceQuery, Prove
from ostiary.export.engine.workshop import Heard, PassingError
from tests.support.tensorrt import benchwork
from tests.support.tensorrt.benchwork import Bench, Device
from tests.support.tensorrt.fake_cuda import CUDA_PYTHON
from tests.support.tensorrt.fake_plan import unpack
from tests.support.tensorrt.fake_trt import VERSIONS

MODELS = ["detector", "landmarks", "pad", "encoder", "encoder_int8"]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


def precisions(made: Made) -> dict[str, str | None]:
    return {entry.model: entry.precision for entry in made.report.entries}


@pytest.mark.parametrize(
    ("version", "half", "int8_flags"),
    [
        ("8.6", "fp16", ["INT8", "FP16"]),
        ("10.3", "fp16", ["INT8", "FP16"]),
        ("10.13", "fp16", ["INT8", "FP16"]),
        ("10.16", "fp16", ["INT8", "FP16"]),
        ("11.4", "fp32", []),
    ],
)
def test_each_version_builds_what_it_can(
    bundle: Bundle, device: Device, tmp_path: Path, version: str, half: str, int8_flags: list[str]
) -> None:
    device.become(version)
    made = benchwork.build(bundle, tmp_path)
    assert precisions(made) == {**dict.fromkeys(MODELS, half), "encoder_int8": "int8"}
    file = made.report.entries[-1].file
    assert file is not None
    int8 = engines.read(tmp_path / file)
    assert int8.header.fingerprint.flags == int8_flags
    unpacked = unpack(int8.plan)
    assert unpacked is not None
    settings, _ = unpacked
    assert set(int8_flags) <= set(settings.flags)
    assert settings.verbosity == "DETAILED"
    assert settings.profiles[0]["input"][0][0] == settings.profiles[0]["input"][2][0] == 1
    assert int8.header.layers is not None
    assert int8.header.layers.counts["int8"] > 40
    assert int8.header.proof is not None
    assert int8.header.proof.worst <= int8.header.proof.tolerance
    assert ("no FP16 flag" in made.here.lacks) == (version == "11.4")


def test_the_table_names_every_version_that_is_built_here() -> None:
    assert set(VERSIONS) == {"8.6", "10.3", "10.13", "10.16", "11.4"}


@pytest.mark.parametrize("version", VERSIONS)
def test_progress_is_reported_if_the_version_has_a_monitor(
    bundle: Bundle, device: Device, tmp_path: Path, version: str
) -> None:
    device.become(version)
    bench = Bench()
    benchwork.build(bundle, tmp_path, bench=bench)
    assert bool(bench.steps) == (version != "8.6")
    for step in bench.steps:
        assert isinstance(step, BuildStep)
        assert 0 <= step.done <= step.total


def test_a_second_run_builds_nothing_and_proves_nothing(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    device.become("10.3")
    benchwork.build(bundle, tmp_path)
    bench = Bench()
    made = benchwork.build(bundle, tmp_path, bench=bench)
    assert made.did == dict.fromkeys(MODELS, "hit")
    assert (bench.count(Build), bench.count(Prove)) == (0, 0)
    assert needed(bundle, tmp_path, made.here) == []


def test_a_second_build_takes_its_timings_from_the_cache(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    device.become("10.3")
    benchwork.build(bundle, tmp_path)
    timed = device.trt.world_.timed
    assert timed > 100
    benchwork.build(bundle, tmp_path, again=True)
    assert device.trt.world_.timed == timed
    (cache,) = tmp_path.glob("*.timing")
    cache.write_bytes(b"1.0.0 (1, 1)\nof elsewhere")
    assert benchwork.build(bundle, tmp_path, again=True).did == dict.fromkeys(MODELS, "built")


@pytest.mark.parametrize(
    "change", [{"full": "10.3.1"}, {"driver": 13000}, {"sm": (8, 9)}, {"name": "Another"}]
)
def test_on_another_device_or_version_every_engine_is_built_again(
    bundle: Bundle, device: Device, tmp_path: Path, change: dict[str, Any]
) -> None:
    device.become("10.3")
    benchwork.build(bundle, tmp_path)
    device.become("10.3", **change)
    here = Bench().probe(PlaceQuery(TENSORRT))
    assert needed(bundle, tmp_path, here) == MODELS
    assert benchwork.build(bundle, tmp_path).did == dict.fromkeys(MODELS, "built")


def test_a_gpu_without_int8_says_so_and_runs_in_half(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    device.become("8.6", sm=(5, 3), name="Nano")
    made = benchwork.build(bundle, tmp_path)
    assert precisions(made) == {**dict.fromkeys(MODELS, "fp16"), "encoder_int8": None}
    assert made.did["encoder_int8"] == "failed"
    assert made.here.lacks == "sm_53 has no int8"
    assert needed(bundle, tmp_path, made.here) == []


def test_an_engine_that_fails_its_golden_vectors_is_not_used(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    """A failed fp16 engine is replaced by fp32; a failed int8 engine by none."""
    device.become("10.3")
    trt = device.trt
    real = child._prove

    def spoil_reduced(order: Prove) -> object:
        wrong = order.precision != "fp32" and order.name in ("pad", "encoder_int8")
        trt.world_.spoil = lambda name, array: -array if wrong else array
        return real(order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "_prove", spoil_reduced)
        made = benchwork.build(bundle, tmp_path)
    wanted = {**dict.fromkeys(MODELS, "fp16"), "pad": "fp32", "encoder_int8": None}
    assert precisions(made) == wanted
    failed = {
        e.model: [failure.reason for failure in e.failed.values()]
        for e in made.report.entries
        if e.failed
    }
    assert set(failed) == {"pad", "encoder_int8"}
    assert failed["pad"][0].startswith("fp16: the pad is")
    assert "off its golden vectors" in failed["encoder_int8"][0]
    with pytest.raises(BackendError, match="int8: the encoder_int8 is"):
        engines.find(tmp_path, bundle.manifest.files["encoder.int8.onnx"], made.here.place)
    assert needed(bundle, tmp_path, made.here) == []
    assert not list(tmp_path.glob("*.plan"))
    trt.world_.spoil = lambda name, array: array
    mended = benchwork.build(bundle, tmp_path, again=True)
    assert precisions(mended) == {**dict.fromkeys(MODELS, "fp16"), "encoder_int8": "int8"}


def test_a_build_that_failed_on_a_full_disk_is_tried_again(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    class Full(Bench):
        def build(self, order: Build, heard: Heard) -> Built:
            raise PassingError("No space left on device")

    device.become("10.3")
    first = benchwork.build(bundle, tmp_path, bench=Full())
    assert first.did == dict.fromkeys(MODELS, "failed")
    assert needed(bundle, tmp_path, first.here) == MODELS
    assert benchwork.build(bundle, tmp_path).did == dict.fromkeys(MODELS, "built")


def test_a_build_that_was_interrupted_twice_is_not_tried_a_third_time(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    class Ended(Bench):
        def build(self, order: Build, heard: Heard) -> Built:
            raise KeyboardInterrupt

    device.become("10.3")
    here = Bench().probe(PlaceQuery(TENSORRT))
    for _ in range(2):
        assert "detector" in needed(bundle, tmp_path, here)
        with pytest.raises(KeyboardInterrupt):
            benchwork.build(bundle, tmp_path, bench=Ended())
    made = benchwork.build(bundle, tmp_path)
    assert precisions(made)["detector"] == "fp32"
    assert benchwork.build(bundle, tmp_path, again=True).did["detector"] == "built"


def test_a_parser_error_names_its_node(bundle: Bundle, device: Device, tmp_path: Path) -> None:
    model = onnx.load(bundle.path / "encoder.int8.onnx")
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    zeros = {name for node in pairs for name in node.input[2:]}
    for weight in model.graph.initializer:
        if weight.name in zeros:
            value = numpy_helper.to_array(weight) + 3
            weight.CopyFrom(numpy_helper.from_array(value.astype("int8"), weight.name))
    file = tmp_path / "shifted.onnx"
    onnx.save(model, file)
    order = Build(TENSORRT, str(file), str(tmp_path / "plan"), ["INT8"])
    device.become("10.3")
    with pytest.raises(BundleError, match=r"QuantizeLinear.*zero point"):
        Bench().build(order, lambda step: None)
    device.become("8.6")  # which tells only the node's number
    with pytest.raises(BundleError, match=r"node \d+: .*zero point"):
        Bench().build(order, lambda step: None)
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize("version", ["8.6", "10.3", "10.16"])
def test_q_dq_without_the_int8_flag_would_fail(
    bundle: Bundle, device: Device, tmp_path: Path, version: str
) -> None:
    device.become(version)
    file = str(bundle.path / "encoder.int8.onnx")
    order = Build(TENSORRT, file, str(tmp_path / "plan"), ["FP16"])
    with pytest.raises(BundleError, match="int8 is not configured"):
        Bench().build(order, lambda step: None)


def test_without_a_driver_nothing_is_built_and_nothing_crashes(
    bundle: Bundle, device: Device, tmp_path: Path
) -> None:
    device.become("10.3", libcuda=False)
    with pytest.raises(BackendError, match="CUDA driver"):
        benchwork.build(bundle, tmp_path / "e")
    assert not (tmp_path / "e").exists()
    order = Build(TENSORRT, str(bundle.path / "pad.onnx"), str(tmp_path / "plan"), [])
    with pytest.raises(BackendError, match="CUDA driver"):
        Bench().build(order, lambda step: None)


def test_without_a_cuda_binding_the_error_says_what_to_install(
    bundle: Bundle, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.become("10.3")
    monkeypatch.setitem(sys.modules, CUDA_PYTHON, None)
    with pytest.raises(OstiaryError, match="no CUDA binding") as caught:
        Bench().probe(PlaceQuery(TENSORRT))
    assert "ostiary[jetson]" in caught.value.hint


def test_the_probe_tells_place_and_flags(device: Device) -> None:
    device.become("10.3", sm=(8, 7), name="Orin", driver=12060)
    here: Here = Bench().probe(PlaceQuery(TENSORRT))
    assert here.place == engines.EnginePlace("tensorrt 10.3.0", "12.6", "sm_87", "Orin")
    assert here.runs
    assert here.flags == {"fp32": [], "fp16": ["FP16"], "int8": ["INT8", "FP16"]}
