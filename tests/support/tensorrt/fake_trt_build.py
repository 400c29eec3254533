"""The half of the fake TensorRT that builds engines; `fake_trt` gives its classes their names."""

from typing import Any

from tests.support.tensorrt.fake_plan import Graph, Settings, layers

NO_INT8 = (
    "Error Code 4: Internal Error (Int8 precision has been set for a layer or layer output, but"
    " int8 is not configured in the builder)"
)
PHASE = "Building Engine"


class ILogger:
    _world: Any
    _ready = False

    def __init__(self) -> None:
        self._ready = True

    def log(self, severity: Any, msg: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "ILogger::log"')


class Logger:
    _world: Any

    def __init__(self, min_severity: Any = None) -> None:
        self._ready = True
        self._said: list[str] = []
        self.min_severity = min_severity or self._world.trt.ILogger.Severity.WARNING

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            self._said.append(msg)


class IProgressMonitor:
    _ready = False

    def __init__(self) -> None:
        self._ready = True


class Builder:
    _world: Any

    def __init__(self, logger: Any) -> None:
        self._logger = self._world.logger(logger)
        gpu = self._world.gpu
        if not (gpu.initialised and gpu.libcuda):
            self._world.say(logger, "ERROR", "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    logger = property(lambda self: self._logger)

    @property
    def platform_has_fast_int8(self) -> bool:
        return bool(self._world.gpu.sm >= (6, 1) and self._world.gpu.sm != (6, 2))

    @property
    def platform_has_fast_fp16(self) -> bool:
        return self._world.gpu.sm in ((5, 3), (6, 0), (6, 2)) or self._world.gpu.sm >= (7, 0)

    @property
    def platform_has_tf32(self) -> bool:
        return bool(self._world.gpu.sm >= (8, 0))

    def create_network(self, flags: int = 0) -> Any:
        known = self._world.trt.NetworkDefinitionCreationFlag
        if flags >> len(known.__members__):
            raise AssertionError(f"this version has no network flag for {flags:#b}")
        return self._world.make("INetworkDefinition", self, flags)

    def create_builder_config(self) -> Any:
        return self._world.make("IBuilderConfig")

    def create_optimization_profile(self) -> Any:
        return self._world.make("IOptimizationProfile")

    def is_network_supported(self, network: Any, config: Any) -> bool:
        return not self._problem(network, config)

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        if not self._world.in_context(self._logger):
            return None
        problem = self._problem(network, config) or self._time(network, config)
        if problem:
            self._world.say(self._logger, "ERROR", f"IBuilder::buildSerializedNetwork: {problem}")
            return None
        self._world.gpu.made["engine"] += 1
        return self._world.plan(self._settings(network, config), network._graph)

    def _settings(self, network: Any, config: Any) -> Settings:
        return Settings(
            version=self._world.trt.__version__,
            sm=self._world.gpu.sm,
            flags=sorted(flag.name for flag in config._flags),
            strong=network._strong,
            verbosity=config.profiling_verbosity.name,
            hardware=config.hardware_compatibility_level.name,
            profiles=[profile._shapes for profile in config._profiles],
        )

    def _problem(self, network: Any, config: Any) -> str:
        names = {flag.name for flag in config._flags}
        if network._graph is None:
            return "Error Code 4: Internal Error (Network must have at least one output)"
        typed = names & {"FP16", "BF16", "INT8", "FP8", "INT4"}
        if network._strong and typed:
            return f"Error Code 3: API Usage Error ({sorted(typed)} in a strongly typed network)"
        if network._graph.quantized and not network._strong and "INT8" not in names:
            return NO_INT8
        opened = [name for name, (shape, _) in network._graph.inputs.items() if -1 in shape]
        if opened and not config._profiles:
            return (
                "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no"
                " optimization profile has been defined.)"
            )
        left = [name for name in opened for p in config._profiles if name not in p._shapes]
        return f"Error Code 4: {left[0]} is missing in a profile" if left else ""

    def _time(self, network: Any, config: Any) -> str:
        """Choose a kernel for each layer, from the timing cache if the layer is in it."""
        names = {flag.name for flag in config._flags}
        cache = config._cache if "DISABLE_TIMING_CACHE" not in names else None
        known = cache._entries if cache is not None else set()
        graph, monitor = network._graph, getattr(config, "progress_monitor", None)
        chosen = [
            f"{layer['Name']} {layer['Inputs']}"
            for layer in layers(self._settings(network, config), graph)
        ]
        if "ERROR_ON_TIMING_CACHE_MISS" in names and set(chosen) - known:
            return "Error Code 2: a timing cache miss"
        if monitor is not None:
            assert self._world.of(monitor, "IProgressMonitor")._ready
            monitor.phase_start(PHASE, None, len(chosen))
        going_on = True
        for step, layer in enumerate(chosen):
            self._world.timed += layer not in known
            known.add(layer)
            if monitor is not None and not monitor.step_complete(PHASE, step):
                going_on = False
                break
        if monitor is not None:
            monitor.phase_finish(PHASE)
        return "" if going_on else "the build was cancelled by the progress monitor"


class INetworkDefinition:
    _world: Any

    def __init__(self, builder: Any, flags: int) -> None:
        self._flags = flags
        self._graph: Graph | None = None
        known = self._world.trt.NetworkDefinitionCreationFlag
        self._explicit = self._world.version != "8.6" or bool(
            flags & 1 << int(known.EXPLICIT_BATCH)
        )
        strong = getattr(known, "STRONGLY_TYPED", None)
        # 11 no longer has weakly typed networks.
        self._strong = not hasattr(known, "EXPLICIT_BATCH") or (
            strong is not None and bool(flags & 1 << int(strong))
        )

    flags = property(lambda self: self._flags)
    has_implicit_batch_dimension = property(lambda self: not self._explicit)
    num_inputs = property(lambda self: len(self._graph.inputs) if self._graph else 0)
    num_outputs = property(lambda self: len(self._graph.outputs) if self._graph else 0)
    num_layers = property(lambda self: len(self._graph.model.graph.node) if self._graph else 0)

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags & 1 << int(flag))

    def get_input(self, index: int) -> Any:
        return self._tensor(list(self._parsed().inputs)[index])

    def get_output(self, index: int) -> Any:
        return self._tensor(list(self._parsed().outputs)[index])

    def _parsed(self) -> Graph:
        assert self._graph is not None
        return self._graph

    def _tensor(self, name: str) -> Any:
        tensor, (shape, kind) = self._world.make("ITensor"), self._parsed().tensors[name]
        tensor.name, tensor.shape = name, self._world.trt.Dims(shape)
        tensor.dtype = getattr(self._world.trt.DataType, kind)
        return tensor


class IBuilderConfig:
    _world: Any

    def __init__(self) -> None:
        trt = self._world.trt
        self._flags, self._cache = {trt.BuilderFlag.TF32}, None
        self._profiles: list[Any] = []
        self._pools = {trt.MemoryPoolType.WORKSPACE: self._world.gpu.memory}
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
        self.builder_optimization_level, self.avg_timing_iterations = 3, 1

    num_optimization_profiles = property(lambda self: len(self._profiles))

    @property
    def flags(self) -> int:
        return sum(1 << int(flag) for flag in self._flags)

    def set_flag(self, flag: Any) -> None:
        self._flags.add(self._world.of(flag, "BuilderFlag"))

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(self._world.of(flag, "BuilderFlag"))

    def get_flag(self, flag: Any) -> bool:
        return self._world.of(flag, "BuilderFlag") in self._flags

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        assert pool_size >= 0
        self._pools[self._world.of(pool, "MemoryPoolType")] = int(pool_size)

    def get_memory_pool_limit(self, pool: Any) -> int:
        limit: int = self._pools.get(self._world.of(pool, "MemoryPoolType"), 0)
        return limit

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(self._world.of(profile, "IOptimizationProfile"))
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        return self._world.make("ITimingCache", bytes(memoryview(serialized_timing_cache)))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        fits = cache._origin in ("", self._world.origin()) or ignore_mismatch
        if fits:
            self._cache = self._world.of(cache, "ITimingCache")
        return fits

    def get_timing_cache(self) -> Any:
        return self._cache


class ITimingCache:
    _world: Any

    def __init__(self, data: bytes) -> None:
        self._origin, *entries = data.decode().split("\n") if data else [""]
        self._entries = set(entries)

    def serialize(self) -> Any:
        return self._world.memory(
            "\n".join([self._world.origin(), *sorted(self._entries)]).encode()
        )

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        fits = ignore_mismatch or self._origin == input_cache._origin
        self._entries |= input_cache._entries if fits else set()
        return fits

    def reset(self) -> bool:
        self._entries.clear()
        return True


class IOptimizationProfile:
    _world: Any

    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        shapes = [[int(size) for size in shape] for shape in (min, opt, max)]
        if not all(a <= b <= c for a, b, c in zip(*shapes, strict=True)):
            raise ValueError(f"Shape provided for {input} is inconsistent")
        self._shapes[input] = shapes

    def get_shape(self, input: str) -> list[Any]:  # noqa: A002
        return [self._world.trt.Dims(shape) for shape in self._shapes[input]]
