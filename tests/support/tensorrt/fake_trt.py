"""A fake TensorRT with exactly the names of a version, and engines that really compute.

`module("10.3", gpu)` behaves as `tensorrt` of that version as far as Ostiary uses it. Which names
a version has stands in tests/data/tensorrt_api.json; what is not in it raises AttributeError, and
what is in it but not written here raises NotImplementedError when it is called. An engine is the
ONNX file with its settings; ONNX Runtime computes it on the memory of a `fake_gpu.Gpu`.
It is stricter than TensorRT in one thing: the thread needs a CUDA context for all but parsing.
"""

import enum
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.support.tensorrt import fake_trt_build as build
from tests.support.tensorrt import fake_trt_parse as parse
from tests.support.tensorrt import fake_trt_run as run
from tests.support.tensorrt.fake_cuda import CUDA_PYTHON
from tests.support.tensorrt.fake_cuda import modules as cuda_modules
from tests.support.tensorrt.fake_gpu import Gpu
from tests.support.tensorrt.fake_plan import Graph, Settings, numpy_type, pack

TABLE = json.loads((Path(__file__).parents[2] / "data" / "tensorrt_api.json").read_text())
FULL = {"8.6": "8.6.1", "10.3": "10.3.0", "10.13": "10.13.0.35", "10.16": "10.16.1.11"}
FULL["11.4"] = "11.4.0.106"
VERSIONS = tuple(FULL)
WRITTEN: tuple[type, ...] = (build.Builder, build.INetworkDefinition, build.IBuilderConfig)
WRITTEN += (build.ITimingCache, build.IOptimizationProfile, parse.OnnxParser, parse.ParserError)
WRITTEN += (build.ILogger, build.Logger, build.IProgressMonitor, run.Runtime, run.ICudaEngine)
WRITTEN += (run.EngineInspector, run.IExecutionContext)
DEFAULTS: dict[str, Any] = {"name": "", "refittable": False, "num_aux_streams": 0, "DLA_core": -1}
DEFAULTS |= {"active_optimization_profile": 0, "device_memory_size": 1 << 20}
DEFAULTS |= {"device_memory_size_v2": 1 << 20, "max_threads": 1, "num_DLA_cores": 0}
ALIASES = ("DEFAULT", "VERBOSE", "WEIGHTLESS")
SHORT = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BF16"}


def members(version: str, kind: str) -> dict[str, str]:
    """The names that a class has in a version, and what each is; the module's under ""."""
    return {
        name: what
        for name, forms in TABLE["names"].get(kind, {}).items()
        for what, versions in forms.items()
        if version in versions.split()
    }


def modules(version: str, gpu: Gpu, binding: str = CUDA_PYTHON) -> dict[str, ModuleType | None]:
    """The entries of a device's `sys.modules`: TensorRT and one of the CUDA bindings.

    They are found by `import tensorrt` and by `importlib.import_module("cuda.bindings.driver")`,
    but `from cuda.bindings import driver` still finds the real one, which lent its types.
    """
    return {"tensorrt": module(version, gpu), **cuda_modules(gpu, binding)}


def module(version: str, gpu: Gpu, full: str | None = None) -> Any:
    """`tensorrt` of a version: `full` in full. `module.world_.spoil` may falsify what it computes;
    `module.world_.timed` counts the kernels that were timed for want of a timing cache."""
    made = ModuleType("tensorrt")
    made.__version__ = full or FULL[version]  # type: ignore[attr-defined]
    world = made.world_ = World(version, gpu, made)  # type: ignore[attr-defined]
    for name, what in members(version, "").items():
        if what == "class":
            setattr(made, name, world.shape(name))
    for name in members(version, ""):
        kind = SHORT.get(name, name.upper())
        if hasattr(made.DataType, kind):
            setattr(made, name, getattr(made.DataType, kind))
    made.nptype = lambda trt_type: numpy_type(trt_type.name).type  # type: ignore[attr-defined]
    made.volume = lambda iterable: int(np.prod(tuple(iterable)))  # type: ignore[attr-defined]
    made.init_libnvinfer_plugins = lambda logger, namespace: True  # type: ignore[attr-defined]
    for name in members(version, ""):
        if not hasattr(made, name):
            setattr(made, name, world.unwritten("tensorrt", name, "function"))
    return made


def child_site(folder: Path, version: str, binding: str = CUDA_PYTHON, **gpu: Any) -> Path:
    """A folder that, put first on PYTHONPATH, gives a new Python process the fakes."""
    (folder / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(Path(__file__).parents[3])!r})\n"
        "from tests.support.tensorrt import fake_gpu, fake_trt\n"
        f"gpu = fake_gpu.Gpu(**{gpu!r})\n"
        f"sys.modules.update(fake_trt.modules({version!r}, gpu, {binding!r}))\n"
    )
    return folder


class World:
    """The state that all classes of one module share."""

    _severity: "type[Numbered]"

    def __init__(self, version: str, gpu: Gpu, trt: Any) -> None:
        self.version, self.gpu, self.trt, self.timed = version, gpu, trt, 0

    def spoil(self, name: str, array: np.ndarray) -> np.ndarray:
        return array

    def make(self, kind: str, *given: Any) -> Any:
        """An object that only TensorRT makes."""
        return getattr(self.trt, kind)(*given)

    def memory(self, data: bytes) -> Any:
        return self.trt.IHostMemory(data)

    def plan(self, settings: Settings, graph: Graph) -> Any:
        return self.memory(pack(settings, graph))

    def origin(self) -> str:
        return f"{self.trt.__version__} {self.gpu.sm}"

    def foreign(self, settings: Settings) -> str:
        """Why this place refuses an engine."""
        if settings.version != self.trt.__version__:
            return (
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Version tag does not"
                f" match. Note: Current Version: {self.trt.__version__}, Serialized Engine"
                f" Version: {settings.version})"
            )
        both = min(settings.sm, self.gpu.sm) >= (8, 0)
        if settings.sm == self.gpu.sm or (settings.hardware == "AMPERE_PLUS" and both):
            return ""
        wanted, here = (".".join(map(str, sm)) for sm in (settings.sm, self.gpu.sm))
        return (
            "The engine plan file is generated on an incompatible device, expecting compute"
            f" {here} got compute {wanted}, please rebuild."
        )

    def say(self, logger: Any, severity: str, text: str) -> None:
        logger.log(getattr(self.trt.ILogger.Severity, severity), text)

    def logger(self, given: Any) -> Any:
        if not isinstance(given, self.trt.ILogger):
            raise TypeError("incompatible constructor arguments: an ILogger is needed")
        if not given._ready:
            raise TypeError(f"{type(given).__name__}.__init__() must be called: ILogger's")
        return given

    def in_context(self, logger: Any) -> bool:
        if self.gpu.contexts:
            return True
        self.say(logger, "ERROR", "Error Code 1: Cuda Driver (invalid device context)")
        return False

    def of(self, given: Any, kind: str) -> Any:
        if not isinstance(given, getattr(self.trt, kind)):
            raise TypeError(f"incompatible function arguments: {kind} is needed, not {given!r}")
        return given

    def shape(self, name: str) -> type:
        """The fake's class of a name, without the members that the version lacks."""
        if name == "Dims":
            return Dims
        if name == "IHostMemory":
            return HostMemory
        values = members(self.version, name)
        numbers = {n: int(w[2:]) for n, w in values.items() if w.startswith("= ")}
        if numbers:
            return self._enum(name, numbers)
        written = {c.__name__: c for c in WRITTEN}.get(name, object)
        body: dict[str, Any] = {"_world": self, "__doc__": f"TensorRT's {name}."}
        for attribute, value in vars(written).items() if written is not object else ():
            private = attribute.startswith("_") and attribute not in ("__dict__", "__weakref__")
            if private or attribute in values:
                body[attribute] = value
        for attribute, what in values.items():
            body.setdefault(attribute, self.unwritten(name, attribute, what))
        if name in ("ILogger", "Logger"):
            severity = {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4}
            body["Severity"] = (
                self._severity if name == "Logger" else self._enum("Severity", severity)
            )
            body |= {level: body["Severity"][level] for level in severity}
            self._severity = body["Severity"]
        elif name != "IProgressMonitor":
            body["__setattr__"] = _strictly
        return type(name, (self.trt.ILogger,) if name == "Logger" else (), body)

    def unwritten(self, kind: str, name: str, what: str) -> Any:
        if what == "property":
            return Stored(name, DEFAULTS.get(name))

        def call(*_given: Any, **_named: Any) -> None:
            raise NotImplementedError(f"the fake has no {kind}.{name}")

        return call

    def _enum(self, name: str, numbers: dict[str, int]) -> "type[Numbered]":
        # An enum shows a number by its first name, so an old alias comes last.
        order = sorted(numbers, key=lambda n: (numbers[n], n in ALIASES))
        base: Any = Kind if name == "DataType" else Numbered
        made: type[Numbered] = base(name, {n: numbers[n] for n in order})
        return made


class Numbered(enum.Enum):
    """pybind11's enums turn into int, but are not equal to one."""

    def __int__(self) -> int:
        number: int = self.value
        return number

    __index__ = __int__

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class Kind(Numbered):
    """A type of tensors' values."""

    @property
    def itemsize(self) -> int:
        return numpy_type(self.name).itemsize


class Stored:
    """A property that keeps the value it is given."""

    def __init__(self, name: str, default: Any) -> None:
        self._name, self._default = f"_stored_{name}", default

    def __get__(self, holder: Any, kind: type) -> Any:
        return self if holder is None else vars(holder).get(self._name, self._default)

    def __set__(self, holder: Any, value: Any) -> None:
        vars(holder)[self._name] = value


def _strictly(self: Any, name: str, value: Any) -> None:
    """An object that, like pybind11's, refuses attributes that its class does not have."""
    known = getattr(type(self), name, None)
    if not name.startswith("_") and not isinstance(known, Stored | property):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    object.__setattr__(self, name, value)


class Dims:
    """A sequence that equals a tuple but is not one."""

    MAX_DIMS = 8

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self._shape = tuple(int(size) for size in shape)

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, at: Any) -> Any:
        return self._shape[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dims | tuple | list) and self._shape == tuple(other)

    def __str__(self) -> str:
        return str(self._shape)

    __hash__ = None  # type: ignore[assignment]


class HostMemory(bytes):
    """A buffer with `nbytes` that is not bytes: methods that only bytes have are taken away."""

    nbytes = property(lambda self: memoryview(self).nbytes)
    dtype = property(lambda self: None)

    def __len__(self) -> int:
        raise TypeError("object of type 'IHostMemory' has no len()")

    def __getitem__(self, at: Any) -> Any:
        raise TypeError("'IHostMemory' object is not subscriptable")

    def __add__(self, other: Any) -> Any:
        raise TypeError("unsupported operand: 'IHostMemory'")
