"""Write tests/data/tensorrt_api.json: what TensorRT's Python API is called, version by version.

The vendor's bindings are imported from their wheels over libraries of empty functions, so that
neither TensorRT nor a GPU is needed; nothing but the names of their classes is read. Needs gcc, nm
and readelf, wheels for this Python, and pycuda's source:

    pip download --no-deps tensorrt-bindings==8.6.1
    pip download --no-deps tensorrt-cu12-bindings==10.3.0      # and 10.13.0.35, 10.16.1.11
    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106
    pip download --no-deps --no-binary :all: pycuda==2026.1
    python scripts/tensorrt_api.py *bindings*.whl pycuda-*.tar.gz
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "tests" / "data" / "tensorrt_api.json"
CLASSES = """
Builder BuilderFlag NetworkDefinitionCreationFlag INetworkDefinition IBuilderConfig
IOptimizationProfile OnnxParser OnnxParserFlag ParserError ErrorCode ILogger Logger Severity
Runtime ICudaEngine IExecutionContext EngineInspector ITimingCache MemoryPoolType TensorIOMode
ProfilingVerbosity LayerInformationFormat IProgressMonitor DataType HardwareCompatibilityLevel
TensorFormat TensorLocation ITensor ILayer IHostMemory Dims RuntimePlatform
ExecutionContextAllocationStrategy
"""
MODULE = """
IInt8Calibrator IInt8EntropyCalibrator IInt8EntropyCalibrator2 IInt8LegacyCalibrator
IInt8MinMaxCalibrator IAlgorithmSelector QuantizationFlag IStreamReader IStreamReaderV2
IStreamWriter OnnxParserRefitter Refitter CaffeParser UffParser nptype volume
init_libnvinfer_plugins get_plugin_registry float32 float16 bfloat16 int64 int32 int8 int4 uint8
bool fp8 fp4 __version__
"""
"""Names of the module beside the classes: what was removed or added, and what one would use."""


def public(thing: object) -> list[str]:
    return [name for name in sorted(dir(thing)) if not name.startswith("_")]


def arguments(member: object) -> str:
    """The arguments of a method, overloads after each other, as pybind11 writes them."""
    lines = (getattr(member, "__doc__", None) or "").strip().splitlines()
    found = [re.match(r"(?:\d+\. )?\w+\((self: [^,)]*(?:, )?.*)\) ->", line) for line in lines]
    texts = [_names(match[1]) for match in found if match]
    return " or ".join(dict.fromkeys(texts)) or "(?)"


def _names(text: str) -> str:
    """`self: T, pool: P, size: int = 0` without self and types: `(pool, size=0)`."""
    for bracket in (r"\[[^\[\]]*\]", r"<[^<>]*>"):
        while re.search(bracket, text):
            text = re.sub(bracket, "", text)
    names = []
    for part in text.split(",")[1:]:
        name, _, default = part.partition("=")
        optional = "=..." if default else ""
        names.append(name.split(":")[0].strip() + optional)
    return f"({', '.join(names)})"


def describe(holder: object, name: str) -> str:
    """What a class's member is: an enum's value, a method's arguments, or "property"."""
    member = getattr(holder, name)
    if name in getattr(holder, "__members__", {}):
        return f"= {int(member)}"
    if isinstance(member, type):
        return "class"
    return arguments(member) if callable(member) else "property"


def read_api(module: Any) -> dict[str, dict[str, str]]:
    """The names of an imported TensorRT that the table holds, by class; the module's under ""."""
    top = [name for name in (CLASSES + MODULE).split() if hasattr(module, name)]
    api = {"": {n: "class" if isinstance(getattr(module, n), type) else "name" for n in top}}
    for name in CLASSES.split():
        kind = getattr(module, name, None) or getattr(module.ILogger, name, None)
        if kind is not None:
            members = [m for m in public(kind) if not m.startswith("add_") or m == ADDS]
            api[name] = {member: describe(kind, member) for member in members}
    return api


ADDS = "add_optimization_profile"
"""The layers that a network can be built of one by one are left out: Ostiary parses ONNX."""


def import_bindings(folder: Path) -> Any:
    """Import the bindings of an unpacked wheel; in a process that is thrown away."""
    sys.setdlopenflags(os.RTLD_LAZY)
    for library in empty_libraries(folder):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    return importlib.import_module("tensorrt_bindings")


def empty_libraries(folder: Path) -> Iterator[Path]:
    """TensorRT's own libraries, as the bindings ask for them, of functions that return zero."""
    bindings = folder / "tensorrt_bindings" / "tensorrt.so"
    listed = _output("nm", "-D", "--undefined-only", str(bindings))
    wanted = re.findall(r"^ +U ((?!Py|_Py|__|dl)[^@\s]+)$", listed, re.M)
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    for name in re.findall(r"\[(libnv\S+)\]", _output("readelf", "-d", str(bindings))):
        library = folder / name
        flags = ["-w", "-shared", "-fPIC", f"-Wl,-soname,{name}"]
        _output("gcc", *flags, str(source), "-o", str(library))
        yield library


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_wheel(wheel: Path) -> tuple[str, dict[str, str], dict[str, dict[str, str]]]:
    """A wheel's short version, what is said of it in the table, and its names."""
    package, version = wheel.name.split("-")[:2]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name.startswith("tensorrt_bindings/")]
        for name in wanted:
            archive.extract(name, folder)
        date = archive.getinfo("tensorrt_bindings/tensorrt.so").date_time
        api = json.loads(_output(sys.executable, __file__, "--names", folder))
    short = ".".join(version.split(".")[:2])
    about = {
        "source": f"introspected: wheel {package} {version}",
        "built": "{:04d}-{:02d}-{:02d}".format(*date[:3]),
    }
    return short, about, api


def merge(apis: dict[str, dict[str, dict[str, str]]]) -> dict[str, dict[str, dict[str, str]]]:
    """Class -> name -> what it is -> the versions in which it is that, apart by spaces."""
    table: dict[str, dict[str, dict[str, str]]] = {}
    for version, api in apis.items():
        for kind, members in api.items():
            for name, what in members.items():
                entry = table.setdefault(kind, {}).setdefault(name, {})
                entry[what] = f"{entry[what]} {version}" if what in entry else version
    return {kind: dict(sorted(members.items())) for kind, members in sorted(table.items())}


def read_pycuda(source: Path) -> dict[str, Any]:
    """What pycuda's wrapper defines, read as text: nothing of it is built."""
    with tarfile.open(source) as archive:
        members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
        text = archive.extractfile(members["wrap_cudadrv.cpp"]).read().decode()  # type: ignore[union-attr]
    names = dict(_pycuda_classes(text[text.index("BOOST_PYTHON_MODULE") :]))
    captures = bool(re.search(r"BeginCapture|CUgraph\b", text))
    return {
        "version": source.name.removesuffix(".tar.gz").rpartition("-")[2],
        "source": "src/wrapper/wrap_cudadrv.cpp of the source distribution, for CUDA 10 and newer",
        "captures_graphs": captures,
        "names": {kind: sorted(members) for kind, members in names.items() if members},
    }


PYCUDA_CLASSES = ("Device", "Context", "Stream", "Event", "DeviceAllocation", "HostPointer")
PYCUDA_HOST = "PagelockedHostAllocation"


def _pycuda_classes(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each class of the wrapper that we may touch, and under "" the functions and errors."""
    functions = set(re.findall(r'py::def\("(\w+)"', text))
    functions |= set(re.findall(r"DEF_SIMPLE_FUNCTION(?:_WITH_ARGS)?\((\w+)", text))
    functions |= set(re.findall(r"DECLARE_EXC\((\w+), [NC]", text))
    kinds = [(m.start(), m[1]) for m in re.finditer(r'py::class_<[^;{]*?\(\s*"(\w+)"', text)]
    yield "", {name.removeprefix("py_") for name in functions} | {name for _, name in kinds}
    for (start, name), (end, _) in zip(kinds, [*kinds[1:], (len(text), "")], strict=True):
        if name in (*PYCUDA_CLASSES, PYCUDA_HOST):
            body = text[start:end]
            methods = re.findall(r'\.(?:def|add_property)\(\s*"(\w+)"', body)
            methods += re.findall(r"DEF_SIMPLE_METHOD(?:_WITH_ARGS)?\((\w+)", body)
            yield name, {method for method in methods if not method.startswith("_")}


def main(files: list[str]) -> None:
    apis, versions, pycuda = {}, {}, None
    for file in map(Path, files):
        if file.name.startswith("pycuda"):
            pycuda = read_pycuda(file)
        else:
            version, about, apis[version] = read_wheel(file)
            versions[version] = about
    order = sorted(apis, key=lambda version: tuple(map(int, version.split("."))))
    table = {
        "versions": {version: versions[version] for version in order},
        "pycuda": pycuda,
        "names": merge({version: apis[version] for version in order}),
    }
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_one_name_a_line(table))


def _one_name_a_line(table: dict[str, Any]) -> str:
    """JSON that a person can read and compare."""
    text = json.dumps(table, indent=1)
    for inner in (r"\[[^\[\]{}]*\]", r"\{[^\[\]{}]*\}"):
        text = re.sub(inner, lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text)
    return text + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--names"]:
        json.dump(read_api(import_bindings(Path(sys.argv[2]))), sys.stdout)
    else:
        main(sys.argv[1:])
