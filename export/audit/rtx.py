"""A build with TensorRT for RTX, which needs no GPU: what TensorRT's own parser says of a file.

It proves that the graph is legal, not that int8 kernels are chosen nor how fast they are.
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
    """Empty where TensorRT for RTX can be used, else why not."""
    try:
        load_tensorrt(RTX)
    except ImportError as error:
        return f"{RTX} can not be loaded: {error}"
    return ""


def build_for_rtx(model: bytes, compute: str = "sm86") -> Built:
    """Parse an ONNX model and build it for a GPU this machine need not have.

    Raises an OstiaryError, naming the nodes, for what is refused.
    """
    reason = rtx_available()
    if reason:
        raise BundleError(reason, "pip install 'ostiary[rtx]', on x86-64 Linux or Windows")
    with tempfile.TemporaryDirectory() as name:
        file, plan = Path(name) / "model.onnx", Path(name) / "model.plan"
        file.write_bytes(model)
        order = Build(RTX, str(file), str(plan), [], compute, BATCHES)
        return Apart().build(order, lambda step: None)
