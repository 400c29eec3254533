"""Versions of what Ostiary depends on; a module that may crash is imported in its own process."""

from __future__ import annotations

import importlib.util
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from ostiary import __version__
from ostiary.edge.selftest import isolated
from ostiary.edge.selftest.places import text
from ostiary.edge.selftest.report import Check, judged

NAME = "versions"
ABSENT = "absent"
IMPORT_S = 30.0
DRIVER = "proc/driver/nvidia/version"
CUDA_HINT = "install a CUDA binding: pip install 'ostiary[jetson]'"
PARTS = {
    "numpy": (["numpy"], "numpy"),
    "opencv": (["opencv-python-headless", "opencv-python", "opencv-contrib-python"], "cv2"),
    "tensorrt": (["tensorrt"], "tensorrt"),
    "tensorrt_rtx": (["tensorrt_rtx"], "tensorrt_rtx"),
    "cuda_python": (["cuda-bindings"], "cuda.bindings"),
    "pycuda": (["pycuda"], "pycuda"),
    "openvino": (["openvino"], "openvino"),
    "onnxruntime": (["onnxruntime", "onnxruntime-gpu"], "onnxruntime"),
    "paho": (["paho-mqtt"], "paho"),
}
"""The packages that may contain a part, and the module to ask if none of these is installed."""
_IMPORT = "import {0}; answer.write(str({0}.__version__).encode())"
_DEVICE = """
import msgspec
from ostiary.edge.runtime.cuda import open_cuda
cuda = open_cuda()
answer.write(msgspec.json.encode({"binding": cuda.binding, "device": cuda.device}))
"""


def check(root: Path = Path("/")) -> Check:
    """All versions, and the GPU with the CUDA version of its driver."""
    found = {name: version(*where) for name, where in PARTS.items()}
    gpu = isolated.run(_DEVICE, b"", IMPORT_S)
    driver = re.search(r"Kernel Module.*?(\d+\.\d[\d.]*)", text(root / DRIVER) or "")
    details = {
        "ostiary": __version__,
        "python": platform.python_version(),
        **found,
        "nvidia_driver": driver[1] if driver else ABSENT,
        "cuda": ABSENT if gpu.problem else msgspec.json.decode(gpu.answer),
        "cuda_problem": gpu.problem,
    }
    problems = []
    if found["tensorrt"] != ABSENT and gpu.problem:
        problems.append(
            (f"TensorRT is installed, but CUDA is not usable: {gpu.problem}", CUDA_HINT)
        )
    return judged(NAME, _said(details), problems, details)


def _said(details: dict[str, Any]) -> str:
    shown = ("ostiary", "python", "tensorrt", "openvino", "onnxruntime")
    return ", ".join(f"{name} {details[name]}" for name in shown)


def version(packages: list[str], module: str) -> str:
    """A part's version: that of its installed package, else that of its module, read in another
    process."""
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if not here(module):
        return ABSENT
    told = isolated.run(_IMPORT.format(module), b"", IMPORT_S)
    return f"cannot be imported: {told.problem}" if told.problem else told.answer.decode()


def here(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        return False
    # A folder of type stubs has no origin.
    return found is not None and found.origin is not None
