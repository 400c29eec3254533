"""The half of the fake TensorRT that runs engines; `fake_trt` gives its classes their names."""

import json
from typing import Any

import numpy as np

from tests.support.tensorrt.fake_memory import Refused, WouldSegfaultError
from tests.support.tensorrt.fake_plan import Graph, Settings, layers, numpy_type, unpack


class Runtime:
    _world: Any

    def __init__(self, logger: Any) -> None:
        self._logger = self._world.logger(logger)
        self._alive()

    def _alive(self) -> None:
        gpu = self._world.gpu
        if not (gpu.initialised and gpu.libcuda):
            raise WouldSegfaultError("TensorRT's runtime, before the CUDA driver was initialised")

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        self._alive()
        world = self._world
        if not world.in_context(self._logger):
            return None
        found = unpack(bytes(memoryview(serialized_engine)))
        if found is None:
            world.say(self._logger, "ERROR", "Magic tag does not match. The plan is damaged")
            return None
        settings, graph = found
        problem = world.foreign(settings)
        if problem:
            world.say(self._logger, "ERROR", problem)
            return None
        return world.make("ICudaEngine", self._logger, settings, graph)


class ICudaEngine:
    _world: Any

    def __init__(self, logger: Any, settings: Settings, graph: Graph) -> None:
        self._logger, self._settings, self._graph = logger, settings, graph

    num_io_tensors = property(lambda self: len(self._graph.tensors))
    num_layers = property(lambda self: len(layers(self._settings, self._graph)))
    num_optimization_profiles = property(lambda self: max(1, len(self._settings.profiles)))

    @property
    def profiling_verbosity(self) -> Any:
        return getattr(self._world.trt.ProfilingVerbosity, self._settings.verbosity)

    @property
    def hardware_compatibility_level(self) -> Any:
        return getattr(self._world.trt.HardwareCompatibilityLevel, self._settings.hardware)

    def get_tensor_name(self, index: int) -> str:
        return list(self._graph.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._world.trt.TensorIOMode
        if name not in self._graph.tensors:
            return modes.NONE
        return modes.INPUT if name in self._graph.inputs else modes.OUTPUT

    def get_tensor_shape(self, name: str) -> Any:
        return self._world.trt.Dims(self._graph.tensors[name][0])

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self._world.trt.DataType, self._graph.tensors[name][1])

    def get_tensor_location(self, name: str) -> Any:
        return self._world.trt.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        return [self._world.trt.Dims(s) for s in self._settings.profiles[profile_index][name]]

    def serialize(self) -> Any:
        return self._world.plan(self._settings, self._graph)

    def create_engine_inspector(self) -> Any:
        return self._world.make("EngineInspector", self._settings, self._graph)

    def create_execution_context(self, strategy: Any = None) -> Any:
        if not self._world.in_context(self._logger):
            return None
        self._world.gpu.made["execution context"] += 1
        return self._world.make("IExecutionContext", self, self._logger)


class EngineInspector:
    _world: Any

    def __init__(self, settings: Settings, graph: Graph) -> None:
        self._verbosity, self._layers = settings.verbosity, layers(settings, graph)

    def get_layer_information(self, layer_index: int, format: Any) -> str:  # noqa: A002
        layer = self._layers[layer_index]
        if self._verbosity != "DETAILED":
            return json.dumps(layer["Name"] if self._verbosity == "LAYER_NAMES_ONLY" else "")
        return json.dumps(layer) if format.name == "JSON" else f"Layer({layer['Name']})"

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        each = [self.get_layer_information(at, format) for at in range(len(self._layers))]
        if format.name != "JSON":
            return "\n".join(each)
        shown = [json.loads(text) for text in each] if self._verbosity != "NONE" else []
        return json.dumps({"Layers": shown, "Bindings": []})


class IExecutionContext:
    _world: Any

    def __init__(self, engine: Any, logger: Any) -> None:
        self._engine, self._logger, self._graph = engine, logger, engine._graph
        self._given = {n: s for n, (s, _) in self._graph.inputs.items() if -1 not in s}
        self._addresses: dict[str, int] = {}
        self._ran_with: dict[str, tuple[int, ...]] | None = None

    engine = property(lambda self: self._engine)
    all_binding_shapes_specified = property(lambda self: not self.infer_shapes())

    def _complain(self, text: str) -> bool:
        self._world.say(self._logger, "ERROR", f"IExecutionContext: Error Code 3: {text}")
        return False

    def set_input_shape(self, name: str, shape: Any) -> bool:
        shape = tuple(int(size) for size in shape)
        if name not in self._graph.inputs:
            return self._complain(f"{name} is no input")
        declared = self._graph.inputs[name][0]
        fits = len(shape) == len(declared)
        fits = fits and all(d in (-1, s) for d, s in zip(declared, shape, strict=True))
        for profile in self._engine._settings.profiles[:1]:
            low, _, high = profile.get(name, [shape] * 3)
            fits = fits and all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True))
        if not fits:
            return self._complain(f"{name} cannot have the shape {shape}")
        self._given[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._graph.inputs if name not in self._given]

    def get_tensor_shape(self, name: str) -> Any:
        dims = self._world.trt.Dims
        if name in self._given:
            return dims(self._given[name])
        if name in self._graph.inputs or self.infer_shapes():
            return dims(self._graph.tensors[name][0])
        declared = self._graph.outputs[name][0]
        if -1 not in declared:
            return dims(declared)
        return dims(self._graph.output_shapes(self._given)[name])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._graph.tensors:
            return self._complain(f"{name} is no tensor of the engine")
        self._addresses[name] = memory
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        return bool(profile_index < self._engine.num_optimization_profiles)

    def execute_async_v3(self, stream_handle: int) -> bool:
        world, gpu = self._world, self._world.gpu
        if not world.in_context(self._logger):
            return False
        missing = [n for n in self._graph.tensors if not self._addresses.get(n)]
        if missing:
            return self._complain(f"the address of {missing[0]} is not set")
        if self.infer_shapes():
            return self._complain(f"the shape of {self.infer_shapes()[0]} is not set")
        try:
            stream = gpu.stream(stream_handle)
        except Refused as error:
            return self._complain(f"CUDA_ERROR_{error.code}")
        if stream.noted is not None and self._ran_with != self._given:
            stream.spoilt = True
            return self._complain("operation not permitted when stream is capturing: first run")
        if not stream_handle:
            world.say(self._logger, "WARNING", "Using default stream in enqueueV3()")
        gpu.made["enqueue"] += 1
        shapes, addresses = dict(self._given), dict(self._addresses)
        self._ran_with = dict(shapes)
        gpu.enqueue(stream_handle, lambda: self._compute(shapes, addresses))
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        """The work on the device, done at its turn: reads from and writes to device memory."""
        gpu, inputs = self._world.gpu, {}
        for name, shape in shapes.items():
            kind = numpy_type(self._graph.inputs[name][1])
            data = gpu.read(addresses[name], int(np.prod(shape)) * kind.itemsize)
            inputs[name] = np.frombuffer(data, kind).reshape(shape)
        for name, array in self._graph.run(inputs).items():
            spoilt = self._world.spoil(name, array).astype(array.dtype)
            gpu.write(addresses[name], np.ascontiguousarray(spoilt).tobytes())
