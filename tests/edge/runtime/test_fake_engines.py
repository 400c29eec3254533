"""The fake TensorRT's engines compute, and are refused whenever TensorRT's would be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.tensorrt import fake_trt
from tests.support.tensorrt.fake_device import FACTORS, PHOTO, PLAIN, Place, quantized


def test_an_engine_computes_what_the_file_says() -> None:
    place = Place()
    engine = place.engine(bytes(place.plan(PLAIN)))
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
    assert names == ["input", "out"]
    assert engine.get_tensor_mode("out") == place.trt.TensorIOMode.OUTPUT
    assert engine.get_tensor_shape("input") == (1, 3, 4, 4)
    assert engine.get_tensor_dtype("input") == place.trt.DataType.FLOAT
    context = engine.create_execution_context()
    stream, answer = place.feed(context, PHOTO, 12)
    assert context.execute_async_v3(stream)
    assert np.isnan(np.frombuffer(place.gpu.read(answer, 12), "f4")).all()
    place.gpu.synchronise(stream)
    found = np.frombuffer(place.gpu.read(answer, 12), "f4")
    np.testing.assert_allclose(found, (PHOTO.mean((2, 3)) * FACTORS)[0], rtol=1e-5)


def test_an_engine_can_be_made_wrong_for_a_test() -> None:
    place = Place()
    context = place.engine(place.plan(PLAIN)).create_execution_context()
    stream, answer = place.feed(context, PHOTO, 12)
    place.trt.world_.spoil = lambda name, array: array * 0
    assert context.execute_async_v3(stream)
    place.gpu.synchronise(stream)
    assert not any(place.gpu.read(answer, 12))


def test_nothing_runs_without_addresses_or_shapes() -> None:
    place = Place()
    plan = place.plan(quantized(batch="n"), "INT8", batches=(1, 2, 4))
    context = place.engine(plan).create_execution_context()
    stream = place.gpu.create_stream()
    assert not context.execute_async_v3(stream)
    assert "address of input" in place.said[-1]
    stream, _ = place.feed(context, np.zeros((2, 4), "f4"), 32)
    assert not context.execute_async_v3(stream)
    assert "shape of input" in place.said[-1]
    assert not context.set_input_shape("input", (5, 4))
    assert context.get_tensor_shape("out") == (-1, 4)
    assert context.set_input_shape("input", (2, 4))
    assert context.get_tensor_shape("out") == (2, 4)
    assert context.execute_async_v3(stream)
    assert not context.execute_async_v3(12345)


def test_a_first_run_cannot_be_captured() -> None:
    place = Place()
    context = place.engine(place.plan(PLAIN)).create_execution_context()
    stream, _ = place.feed(context, PHOTO, 12)
    place.gpu.begin_capture(stream, 2)
    assert not context.execute_async_v3(stream)
    assert "capturing" in place.said[-1]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Place("10.13"), "Version tag does not match"),
        (Place(full="10.3.0.30"), "Version tag does not match"),
        (Place(sm=(8, 6)), "incompatible device"),
    ],
    ids=["version", "build", "device"],
)
def test_an_engine_of_another_place_is_refused(there: Place, words: str) -> None:
    here = Place()
    assert here.engine(bytes(there.plan(PLAIN))) is None
    assert words in here.said[-1]


def test_a_damaged_plan_is_refused() -> None:
    place = Place()
    plan = bytes(place.plan(PLAIN))
    for damaged in (b"", plan[:20], plan[:-30], b"x" + plan):
        assert place.engine(damaged) is None


def test_without_a_context_nothing_is_built_or_run() -> None:
    place = Place()
    plan = place.plan(PLAIN)
    place.gpu.pop()
    assert place.plan(PLAIN) is None
    assert place.engine(plan) is None


@pytest.mark.parametrize("version", fake_trt.VERSIONS)
def test_the_inspector_tells_types_with_detailed_verbosity_only(version: str) -> None:
    place = Place(version)
    flags = ["INT8"] if version != "11.4" else []
    told = {}
    for verbosity in ("DETAILED", "LAYER_NAMES_ONLY", "NONE"):
        engine = place.engine(place.plan(quantized(), *flags, verbosity=verbosity))
        inspector = engine.create_engine_inspector()
        text = inspector.get_engine_information(place.trt.LayerInformationFormat.JSON)
        told[verbosity] = json.loads(text)["Layers"]
    [layer] = told["DETAILED"]
    assert "Int8" in layer["Inputs"][0]["Format/Datatype"]
    assert told["LAYER_NAMES_ONLY"] == ["last"]
    assert told["NONE"] == []


def test_another_process_can_have_the_fakes(tmp_path: Path) -> None:
    site = fake_trt.child_site(tmp_path, "10.3", sm=(8, 7))
    program = (
        "import importlib, tensorrt\n"
        "cu = importlib.import_module('cuda.bindings.driver')\n"
        "cu.cuInit(0)\n"
        "print(tensorrt.__version__, cu.cuDeviceGetName(9, 0)[1], tensorrt.world_.gpu.sm)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "10.3.0 b'Orin\\x00\\x00\\x00\\x00\\x00' (8, 7)\n"
