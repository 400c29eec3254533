"""The TensorRT engines: which models have one, and whether it was built for this device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.backends import CPU
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.cuda import open_cuda
from ostiary.edge.runtime.engines import EnginePlace, Precision
from ostiary.edge.runtime.trt import load_tensorrt, place_of
from ostiary.edge.selftest import models, versions
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import Check, fail, ok, skipped, warn

NAME = "engines"
BUILD = "run `ostiary-export engine` on this device to build them"


class EngineState(msgspec.Struct, frozen=True):
    """State of one model's engine; `stale` means built for another device or another model."""

    model: str
    precision: str | None
    state: Literal["ready", "missing", "stale", "none needed"]
    problem: str = ""


Survey = Callable[[], list[EngineState]]


def survey_of(door: DoorUnderTest) -> Survey | None:
    """A function that looks at a door's engines; None if TensorRT is not installed."""
    folder = door.engines()
    if folder is None or not versions.here("tensorrt"):
        return None
    bundle = models.loaded(door)
    return lambda: survey(bundle, folder, door.choice.backend in CPU)


def survey(bundle: Bundle, folder: Path, needless: bool) -> list[EngineState]:
    """State of every model's engine on this device; all `missing` if there is no driver.

    `needless`: the door runs on a CPU backend, so that no engine is needed.
    """
    names = list(bundle.manifest.models.items())
    if needless:
        return [EngineState(name, None, "none needed") for name in names]
    try:
        place = place_of(load_tensorrt(), open_cuda())
    except (ImportError, BackendError) as error:
        return [EngineState(name, None, "missing", str(error)) for name in names]
    return surveyed(bundle, folder, place)


def surveyed(bundle: Bundle, folder: Path, place: EnginePlace) -> list[EngineState]:
    """State of every model's engine in a folder, for the device that `place` describes."""
    states = []
    for name, model in bundle.manifest.models.items().items():
        onnx = bundle.manifest.files[model.file]
        try:
            found = engines.find(folder, onnx, place).header.fingerprint
        except BackendError as error:
            files = (engines.engine_file(folder, onnx, kind) for kind in get_args(Precision))
            there = any(file.is_file() for file in files)
            states.append(EngineState(name, None, "stale" if there else "missing", error.message))
        else:
            states.append(EngineState(name, found.precision, "ready"))
    return states


def check(survey: Survey | None, asked_for: bool) -> Check:
    """Check the engines. A problem fails the check only if the profile names TensorRT
    (`asked_for`)."""
    refused = fail if asked_for else warn
    if survey is None:
        said = "TensorRT is not installed"
        return (
            fail(NAME, said, "install JetPack, which contains it")
            if asked_for
            else skipped(NAME, said)
        )
    states = survey()
    counts = Counter(state.state for state in states)
    finding = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no models"
    wrong = [s for s in states if s.state in ("missing", "stale")]
    details = {"engines": [msgspec.to_builtins(state) for state in states]}
    if wrong:
        reasons = "; ".join(sorted({s.problem for s in wrong}))
        return refused(NAME, f"{finding}: {reasons}", BUILD, **details)
    return ok(NAME, finding, **details)
