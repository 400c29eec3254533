"""The process that runs TensorRT: a crash or lack of memory ends this process, not its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.errors import BackendError, OstiaryError
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.cuda import open_cuda
from ostiary.edge.runtime.engines import EnginePlace, Proof
from ostiary.edge.runtime.trt import TensorRtBackend, load_tensorrt, make_logger, place_of
from ostiary.export.engine import builder, dialect, inspect
from ostiary.export.engine.order import (
    RTX,
    Answer,
    Build,
    BuildRefusal,
    Here,
    Order,
    PlaceQuery,
    Prove,
    ProvenPlan,
)

_PR_SET_PDEATHSIG = 1
Say = Callable[[Answer], None]


def main() -> None:
    """Read an order in JSON from standard input; write answers as lines of JSON to the output."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # What a library prints goes to standard error: it would spoil the JSON.
    _die_with_parent()
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        carry_out(order, lambda answer: _write(answers.fileno(), answer))
    except OstiaryError as error:
        _write(answers.fileno(), BuildRefusal(error.message, error.hint))
    except OSError as error:
        _write(answers.fileno(), BuildRefusal(str(error), passing=True))


def carry_out(order: Order, say: Say) -> None:
    """Carry out an order and hand its answers to `say`. Raises OstiaryError."""
    if isinstance(order, PlaceQuery):
        return say(_probe(_library(order.library), order.compute))
    if isinstance(order, Prove):
        return say(_prove(order))
    return say(_build(order, say))


def _library(name: str) -> Any:
    try:
        return load_tensorrt(name)
    except ImportError as error:
        raise BackendError(
            f"{name} cannot be loaded: {error}",
            "on a Jetson, apt install python3-libnvinfer and use a venv that sees system packages",
        ) from error


def _probe(trt: Any, compute: str | None) -> Here:
    if trt.__name__ == RTX:
        place = EnginePlace(f"{RTX} {trt.__version__}", "none", compute or "none", "none")
        runs = False
    else:
        place, runs = place_of(trt, open_cuda()), True
    flags, lacks = dialect.precisions(trt, trt.Builder(make_logger(trt)), place.sm)
    return Here(place, flags, runs, lacks)


def _build(order: Build, say: Say) -> Answer:
    trt = _library(order.library)
    if order.compute is None:
        open_cuda()  # raises without a driver, where the builder would end the process
    if order.memory_mb is not None:
        # The limit is on data, not on address space: CUDA reserves far more addresses than it uses.
        limit = order.memory_mb << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        return builder.build(trt, order, say)
    except MemoryError:
        raise BackendError(f"the build needs more than its {order.memory_mb} MB") from None


def _prove(order: Prove) -> ProvenPlan:
    backend = TensorRtBackend(Path(order.plan).parent)
    runner = backend.open(Path(order.plan).read_bytes(), order.model, order.precision)
    with np.load(order.golden, allow_pickle=False) as arrays:
        wanted = {name: arrays[name] for name in arrays.files}
    worst, tolerance = golden.check(order.name, order.model, runner, wanted)
    layers = inspect.layers_of(backend.library, runner.engine)
    runner.close()
    return ProvenPlan(Proof(worst, tolerance), layers)


def _write(descriptor: int, answer: Answer) -> None:
    os.write(descriptor, msgspec.json.encode(answer) + b"\n")


def _die_with_parent() -> None:
    """End this process with its parent: else a long build would run beside the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
