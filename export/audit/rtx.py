"""Builds an ONNX file with TensorRT for RTX, to test it with TensorRT's own parser without a GPU.

The build proves that the graph is legal; it shows neither which kernels run nor how fast.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.trt import load_tensorrt
from ostiary.export.engine.order import RTX, Build, Built
from ostiary.export.engine.workshop import Apart

BATCHES = (1, 1, 8)
"""The smallest, the usual and the largest batch of the engine."""


def rtx_available() -> str:
    """Why TensorRT for RTX cannot be used here; empty if it can be."""
    try:
        load_tensorrt(RTX)
    except ImportError as error:
        return f"{RTX} cannot be loaded: {error}"
    return ""


def build_for_rtx(model: bytes, compute: str = "sm86") -> Built:
    """Parse an ONNX model and build it for the GPU `compute`, which need not be in this machine.

    Raises OstiaryError that names the refused nodes.
    """
    reason = rtx_available()
    if reason:
        raise BundleError(reason, "pip install 'ostiary[rtx]', on x86-64 Linux or Windows")
    with tempfile.TemporaryDirectory() as name:
        file, plan = Path(name) / "model.onnx", Path(name) / "model.plan"
        file.write_bytes(model)
        order = Build(RTX, str(file), str(plan), [], compute, BATCHES)
        return Apart().build(order, lambda step: None)
