"""How long the encoders of a bundle take, float and int8, on every installed backend."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np

from ostiary.edge.core.faces.preprocess import to_tensor
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.backends import backends
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.runner import Runner

TURN, TURNS = 40, 8
CHOICES = ("openvino-f32", "openvino", "onnxruntime")


class Speed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One encoder on one backend: median milliseconds per face, and its file's size."""

    name: str
    p50_ms: float
    size_bytes: int


def compare(bundle: Bundle, threads: int = 1, turns: int = TURNS, faces: int = TURN) -> list[Speed]:
    """Measure every encoder of a bundle on every installed backend, float first.

    The encoders take turns of `faces` faces, `turns` each: if the machine slows down, all are
    equally affected.
    """
    images = np.asarray(bundle.golden()[f"{FLOAT}.images"], np.uint8)
    tensor = to_tensor(images[0], bundle.model(FLOAT).spec)
    found = _runners(bundle, threads)
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(turns):
        for name, (runner, kind) in found.items():
            times[name] += _turn(runner.infer, bundle.model(kind).input, tensor, faces)
    return [
        Speed(
            name,
            round(float(np.median(times[name])) * 1e3, 3),
            (bundle.path / bundle.model(kind).file).stat().st_size,
        )
        for name, (_, kind) in found.items()
    ]


def _runners(bundle: Bundle, threads: int) -> dict[str, tuple[Runner, str]]:
    found: dict[str, tuple[Runner, str]] = {}
    for kind in (FLOAT, INT8):
        if kind not in bundle.manifest.models.items():
            continue
        model = bundle.model(kind)
        for choice in CHOICES:
            # The type of float hardly matters to an int8 file, which computes little in float.
            if kind == INT8 and choice == "openvino-f32":
                continue
            try:
                (backend,) = backends(choice, threads).found
                runner = backend.load(bundle.path / model.file, model)
            except BackendError:
                continue
            precision = "int8" if kind == INT8 else runner.precision
            found.setdefault(f"{precision} on {backend.name}", (runner, kind))
    return found


def _turn(
    infer: Callable[[dict[str, Floats]], object], port: str, tensor: Floats, faces: int
) -> list[float]:
    """Seconds for each of `faces` faces, after a warm-up with a quarter as many."""
    spent, warm_up = [], faces // 4
    for _ in range(warm_up + faces):
        began = time.perf_counter()
        infer({port: tensor})
        spent.append(time.perf_counter() - began)
    return spent[warm_up:]
