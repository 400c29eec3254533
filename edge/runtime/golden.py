"""The golden vectors: a backend that does not reproduce them is not used."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces.preprocess import to_embedding, to_tensor
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.backends import backends
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.runner import Backend, Runner

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class ProvenRunners:
    """Runners of every model, on a backend that reproduced the golden vectors.

    `refused` says why the backends before it, or its int8 encoder, are not used.
    """

    backend: str
    runners: dict[str, Runner]
    refused: tuple[str, ...]


def outputs(runner: Runner, name: str, model: ModelEntry, images: NDArray[np.uint8]) -> Floats:
    """A model's outputs on BGR images (n, h, w, 3), one after another: (n, values) float32.

    An encoder's are normalised, since only the direction of an embedding is ever used.
    """
    rows = []
    for image in images:
        given = runner.infer({model.input: to_tensor(image, model.spec)})
        flat = np.concatenate([given[output].reshape(-1) for output in model.outputs])
        rows.append(to_embedding(flat) if name in (FLOAT, INT8) else flat)
    return np.stack(rows).astype(np.float32)


def prove(
    bundle: Bundle,
    choice: str,
    threads: int,
    cache: Path | None = None,
    engines: Path | None = None,
) -> ProvenRunners:
    """Load every model on the first backend of `choice` that reproduces the golden vectors.

    If only the int8 encoder fails, probes are embedded in float there, and `refused` says why.
    Raises BackendError, with each backend's reason, if every backend fails.
    """
    golden = bundle.golden()
    chosen = backends(choice, threads, cache, engines)
    refused = list(chosen.refused)
    for backend in chosen.found:
        try:
            runners, lacks = _proven(bundle, backend, golden)
        except BackendError as error:
            refused.append(f"{backend.name}: {error.message}")
            continue
        return ProvenRunners(backend.name, runners, (*refused, *lacks))
    if cache is not None and cache.is_dir():
        # Delete the cache: a compiled model damaged on the disk must not stop the door for good.
        shutil.rmtree(cache, ignore_errors=True)
        return prove(bundle, choice, threads, None, engines)
    raise BackendError("; ".join(refused), "try another backend, or export the bundle again")


def _proven(
    bundle: Bundle, backend: Backend, golden: Arrays
) -> tuple[dict[str, Runner], tuple[str, ...]]:
    """The runners, and why an int8 encoder is not used although the backend runs int8."""
    runners: dict[str, Runner] = {}
    lacks: list[str] = []
    for name, model in bundle.manifest.models.items().items():
        if name == INT8 and not backend.runs_int8:
            continue
        try:
            runner = _load(backend, bundle.path / model.file, model)
            check(name, model, runner, golden)
        except BackendError as error:
            if name != INT8:
                raise
            lacks.append(f"{backend.name} int8: {error.message}")
            continue
        runners[name] = runner
    width = golden["encoder.outputs"].shape[1]
    if width != bundle.dim:
        raise BackendError(f"the encoder gives {width} values, the manifest says {bundle.dim}")
    return runners, tuple(lacks)


def _load(backend: Backend, file: Path, model: ModelEntry) -> Runner:
    try:
        return backend.load(file, model)
    except (RuntimeError, TypeError) as error:
        # An error of the library must lead to the next backend, not end the daemon.
        raise BackendError(f"{model.file} cannot be loaded: {error}") from error


def check(name: str, model: ModelEntry, runner: Runner, golden: Arrays) -> tuple[float, float]:
    """A runner's worst difference from a model's golden vectors, and the largest allowed.

    Raises BackendError if the difference is too large or the model cannot be run.
    """
    try:
        images = np.asarray(golden[f"{name}.images"], np.uint8)
        expected = np.asarray(golden[f"{name}.outputs"], np.float32)
        tolerance = float(golden[f"{name}.tolerance"])
    except KeyError as error:
        raise BackendError(f"the bundle has no golden vectors of the {name}") from error
    if not len(images):
        raise BackendError(f"the bundle has no golden vectors of the {name}")
    try:
        got = outputs(runner, name, model, images)
    except (ValueError, KeyError, RuntimeError) as error:
        raise BackendError(f"the {name} cannot be run: {error}") from error
    if got.shape != expected.shape:
        raise BackendError(f"the {name} gave {got.shape}, its golden vectors are {expected.shape}")
    worst = float(np.abs(got - expected).max())
    if not worst <= tolerance:  # written so that NaN fails
        raise BackendError(
            f"the {name} is {worst:.2g} off its golden vectors, {tolerance:.2g} is allowed"
        )
    return worst, tolerance
