"""On a machine with a CUDA device and TensorRT: engines built, proven and run for real."""

from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.cuda import open_cuda
from ostiary.edge.runtime.trt import load_tensorrt
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.export.engine.make import EngineOptions, make
from ostiary.export.engine.order import TENSORRT
from ostiary.export.engine.workshop import Apart

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def engines(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every engine of the real bundle."""
    try:
        load_tensorrt()
        open_cuda()
    except (ImportError, BackendError) as error:
        pytest.skip(f"no GPU with TensorRT: {error}")
    folder = tmp_path_factory.mktemp("engines")
    made = make(bundle, folder, Apart(), EngineOptions(TENSORRT), lambda text, step: None)
    assert "failed" not in made.did.values(), made.report
    return folder


def test_every_engine_reproduces_its_golden_vectors(bundle: Bundle, engines: Path) -> None:
    pipeline = open_pipeline(bundle, "tensorrt", engines=engines)
    assert (pipeline.backend, pipeline.precision, pipeline.refused) == ("tensorrt", "int8", ())
    pipeline.close()


def test_a_portrait_is_the_same_person_on_the_gpu_and_the_cpu(
    bundle: Bundle, engines: Path, pipeline: Pipeline, portrait: Image
) -> None:
    gpu = open_pipeline(bundle, "tensorrt", engines=engines)
    face = gpu.find(portrait)[0]
    there = gpu.probe(gpu.align(portrait, face))
    here = pipeline.embed(pipeline.align(portrait, pipeline.find(portrait)[0]))
    assert float(np.dot(there, here)) > 0.97
    gpu.close()
