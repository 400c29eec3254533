"""A device with a fake TensorRT on it, ready to build and run; and two small models for it."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support import tiny_bundle
from tests.support.tensorrt import fake_trt
from tests.support.tensorrt.fake_gpu import Gpu

FACTORS = np.array([[0.5, 1.0, 2.0]], "f4")
PLAIN = tiny_bundle.model(FACTORS)
PHOTO = np.random.default_rng(0).random((1, 3, 4, 4), dtype="f4")


def quantized(zero: int = 0, batch: int | str = 1) -> bytes:
    """One Q/DQ pair before a Relu."""
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("Relu", ["dq"], ["out"], name="last"),
    ]
    taken, given = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4])
        for name in ("input", "out")
    )
    weights = [
        numpy_helper.from_array(np.array(0.5, "f4"), "scale"),
        numpy_helper.from_array(np.array(zero, "i1"), "zero"),
    ]
    graph = helper.make_graph(nodes, "tiny", [taken], [given], weights)
    opset = helper.make_opsetid("", 13)
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    data: bytes = made.SerializeToString()
    return data


class Place:
    """A device with a version of TensorRT, its driver initialised and a context current."""

    def __init__(self, version: str = "10.3", full: str | None = None, **gpu: Any) -> None:
        self.gpu = Gpu(**gpu)
        self.gpu.init()
        self.gpu.set_current(self.gpu.retain())
        self.trt: Any = fake_trt.module(version, self.gpu, full)
        self.said: list[str] = []
        said, base = self.said, self.trt.ILogger

        class Logger(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                said.append(f"{severity.name}: {msg}")

        self.logger = Logger()

    def plan(self, model: bytes, *flags: str, network: int | None = None, **set_: Any) -> Any:
        """Build; None if TensorRT refuses, with the reason in `said`."""
        trt, builder = self.trt, self.trt.Builder(self.logger)
        known = trt.NetworkDefinitionCreationFlag
        explicit = 1 << int(known.EXPLICIT_BATCH) if hasattr(known, "EXPLICIT_BATCH") else 0
        made = builder.create_network(explicit if network is None else network)
        if not trt.OnnxParser(made, self.logger).parse(model):
            return None
        config = builder.create_builder_config()
        for flag in flags:
            config.set_flag(getattr(trt.BuilderFlag, flag))
        for name, value in set_.items():
            getattr(self, f"_{name}")(builder, config, value)
        return builder.build_serialized_network(made, config)

    def _verbosity(self, builder: Any, config: Any, name: str) -> None:
        config.profiling_verbosity = getattr(self.trt.ProfilingVerbosity, name)

    def _monitor(self, builder: Any, config: Any, monitor: Any) -> None:
        config.progress_monitor = monitor

    def _batches(self, builder: Any, config: Any, batches: tuple[int, int, int]) -> None:
        profile = builder.create_optimization_profile()
        profile.set_shape("input", *((size, 4) for size in batches))
        config.add_optimization_profile(profile)

    def engine(self, plan: Any) -> Any:
        return self.trt.Runtime(self.logger).deserialize_cuda_engine(plan)

    def feed(self, context: Any, array: np.ndarray, outputs: int) -> tuple[int, int]:
        """Give both tensors memory and fill the first; the stream, and the answer's memory."""
        taken, given = self.gpu.allocate(array.nbytes), self.gpu.allocate(outputs)
        self.gpu.write(taken, array.tobytes())
        assert context.set_tensor_address("input", taken)
        assert context.set_tensor_address("out", given)
        return self.gpu.create_stream(), given
