"""The models: the bundle's signature, the golden vectors on each backend, the time of a frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.adapters import photos
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.types import Floats, Frame
from ostiary.edge.errors import BackendError, BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.sections import QualitySection
from ostiary.edge.selftest import state, thermal, versions
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import Check, fail, judged, ok, skipped, warn
from ostiary.edge.selftest.thermal import Thermal
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

BUNDLE, GOLDEN, LATENCY = "bundle", "golden vectors", "latency"
BACKENDS = {"tensorrt": "tensorrt", "openvino": "openvino", "onnxruntime": "onnxruntime"}
"""Every backend, with the Python module that it needs."""
K, WARM_UP, FRAMES, LEAST_FRAMES, LATENCY_S = 1000, 10, 300, 30, 6.0
SLOW = "lower the camera's fps, choose another backend, or give the models more threads"
INT8_LACKS = "this backend embeds probes in float, which is slower"


def loaded(door: DoorUnderTest) -> Bundle:
    """The bundle as the daemon loads it. Raises BundleError for a bad signature or hash."""
    return bundles.load(door.choice.path, read_keys(door.choice.keys))


def check_bundle(door: DoorUnderTest) -> Check:
    """Signature, signer, hashes, and whether the profile can use the bundle."""
    try:
        keys = read_keys(door.choice.keys)
        bundle = bundles.load(door.choice.path, keys)
    except BundleError as error:
        return fail(BUNDLE, error.message, error.hint)
    manifest = bundle.manifest
    signer = bundle.signer or ""
    details = {
        "signer": signer,
        "trusted_keys": len(keys.trusted),
        "recipe": manifest.recipe,
        "encoder_id": bundle.encoder_id,
        "dim": bundle.dim,
        "files": manifest.files,
        "proven_on": manifest.proven_on,
        "curve": bundle.measured is not None,
        "verifier": bundle.verifier is not None,
        "warnings": manifest.warnings,
    }
    finding = (
        f"{manifest.recipe}, signed by {signer[:16]}..., {len(manifest.files)} files unchanged"
    )
    if bundle.measured is None:
        return fail(
            BUNDLE, f"{finding}; no threshold, since the bundle has no DET curve",
            "measure the curve with `ostiary-export verify`", **details,
        )  # fmt: skip
    if door.config().recognition.verifier:
        try:
            bundle.head()
        except BundleError as error:
            return fail(BUNDLE, f"{finding}; {error.message}", error.hint, **details)
    if manifest.warnings:
        return warn(
            BUNDLE, f"{finding}; {'; '.join(manifest.warnings)}",
            "install a bundle without these faults", **details,
        )  # fmt: skip
    return ok(BUNDLE, finding, **details)


def check_golden(door: DoorUnderTest, backend: str) -> Check:
    """Check one backend against the golden vectors; a check of its own, since it may crash.

    It uses no cache of compiled models, since a damaged cache would be deleted, and it is the
    daemon's.
    """
    name = f"{GOLDEN}, {backend}"
    if not versions.here(BACKENDS[backend]):
        return skipped(name, f"{backend} is not installed")
    bundle = loaded(door)
    refused = fail if door.choice.backend == backend else warn
    try:
        proven = golden.prove(bundle, backend, door.choice.threads, None, door.engines())
    except BackendError as error:
        return refused(name, error.message, error.hint)
    details = {
        "off": {model: _off(bundle, proven, model) for model in proven.runners},
        "computes_in": {model: runner.precision for model, runner in proven.runners.items()},
    }
    finding = f"reproduced by {', '.join(proven.runners)}"
    if proven.refused:
        return refused(name, f"{finding}; {'; '.join(proven.refused)}", INT8_LACKS, **details)
    return ok(name, finding, **details)


def _off(bundle: Bundle, proven: golden.ProvenRunners, name: str) -> dict[str, float]:
    """The largest error of a model on its golden vectors, and the error that is allowed."""
    model, runner = bundle.model(name), proven.runners[name]
    worst, tolerance = golden.check(name, model, runner, bundle.golden())
    return {"worst": worst, "tolerance": tolerance}


def check_latency(door: DoorUnderTest, root: Path = Path("/")) -> Check:
    """Time of each stage of a frame, as in the daemon, and whether the board throttled."""
    before = thermal.read(root)
    bundle = loaded(door)
    try:
        pipeline = pipeline_of(door, bundle)
        # Use the default limits: the test's portrait may not pass the profile's limits.
        config = msgspec.structs.replace(door.config(), quality=QualitySection())
        enrolled = open_enrolled(pipeline, config)
    except (BackendError, BundleError) as error:
        return fail(LATENCY, error.message, error.hint)
    enrolled.load(_strangers(bundle.dim))
    observer = Observer(pipeline, config, enrolled)
    portrait = photos.decode(bundle.golden()["portrait"].tobytes(), "the bundle's portrait")
    claim = "subject-0" if config.recognition.mode is Mode.VERIFY else None

    def look(number: int) -> dict[str, float]:
        (sighting,) = observer.observe(Frame(portrait, number / config.camera.fps, number), claim)
        return sighting.spent_ms

    stages = timed(look)
    pipeline.close()
    details = {
        "backend": pipeline.backend,
        "precision": pipeline.precision,
        "refused_backends": pipeline.refused,
        "threads": door.choice.threads,
        "k": K,
        "pad": config.pad.required,
        "stages_ms": stages,
        "load_1m": os.getloadavg()[0],
        "daemon_beside": door.profile is not None and state.daemon_runs(door.profile.state.path),
    }
    return judge_latency(door, details, before, thermal.read(root))


def judge_latency(
    door: DoorUnderTest, details: dict[str, Any], before: Thermal, after: Thermal
) -> Check:
    """The verdict: whether frames are fast enough for the camera, and the board stays cool."""
    frame = details["stages_ms"]["frame"]
    finding = (
        f"{details['backend']} {details['precision']}: a frame p50 {frame['p50']:.1f},"
        f" p95 {frame['p95']:.1f}, p99 {frame['p99']:.1f} ms"
        f"{', beside a daemon' * details['daemon_beside']}"
    )
    problems = thermal.slowed(before, after)
    problems += [
        (f"not used: {why}", "see the check of the golden vectors")
        for why in details["refused_backends"]
    ]
    if door.profile is not None:
        fps = door.profile.camera.fps
        if frame["p95"] > 1e3 / fps:
            problems.append((f"{fps:g} frames a second leave {1e3 / fps:.0f} ms for each", SLOW))
    heat = {"thermal_before": before, "thermal_after": after}
    return judged(LATENCY, finding, problems, details | heat)


def pipeline_of(door: DoorUnderTest, bundle: Bundle) -> Pipeline:
    """The models as the daemon opens them, but without its cache. Raises BackendError."""
    choice = door.choice
    return open_pipeline(
        bundle, choice.backend, choice.threads, None, choice.precision, door.engines()
    )


def timed(
    look: Callable[[int], dict[str, float]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, dict[str, float]]:
    """The quantiles of every stage and of the whole frame, in ms; `look` returns stage times."""
    times: dict[str, list[float]] = {}
    began = clock()
    for number in range(WARM_UP + FRAMES):
        start = clock()
        spent = {**look(number), "frame": (clock() - start) * 1e3}
        if number < WARM_UP:
            continue
        for stage, took in spent.items():
            times.setdefault(stage, []).append(took)
        if clock() - began > LATENCY_S and len(times["frame"]) >= LEAST_FRAMES:
            break
    return {stage: {**quantiles(took), "frames": len(took)} for stage, took in times.items()}


def quantiles(times: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    found = np.quantile(times, (0.5, 0.95, 0.99))
    return dict(zip(("p50", "p95", "p99"), (round(float(q), 3) for q in found), strict=True))


def _strangers(dim: int) -> list[tuple[str, Floats, int]]:
    """Random unit templates, which are as slow to search as those of real people."""
    rows = np.random.default_rng(0).standard_normal((K, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [(f"subject-{i}", row[None], 1) for i, row in enumerate(rows)]
